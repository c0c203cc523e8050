/* io/http_request.h - the head of one HTTP/1 request (RFC 9112 §2, §3), as much as a page of text needs. Pure.
 *
 *   in     the bytes that came so far
 *   out    method and path (without what follows `?`); a request with a body is ERR_REFUSED, it has no use here
 *   trust  bytes of whoever can connect; every byte is looked at once
 *   caps   HTTP_HEAD_MAX bytes of head, HTTP_PATH_BYTES of path with its NUL; longer is ERR_FULL */
#ifndef ITO_IO_HTTP_REQUEST_H
#define ITO_IO_HTTP_REQUEST_H

#include "base/err.h"
#include "base/slice.h"

#define HTTP_HEAD_MAX   4096
#define HTTP_PATH_BYTES 64

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_request {
    enum http_method method;
    char path[HTTP_PATH_BYTES];
};

/* ERR_AGAIN: not whole yet. ERR_PARSE: no HTTP/1 request. */
enum err http_request_parse(struct slice bytes, struct http_request *out);

#endif
