/* io/http.h - one page of text for programs of this machine: GET or HEAD of one path over HTTP, on a loopback port.
 *
 * On the loop, without threads. Each connection carries one request and is closed behind the answer.
 *
 *   in     config; page() makes the text anew for each request
 *   trust  whoever is on this machine; an address that is not loopback is ERR_REFUSED
 *   caps   HTTP_CLIENTS connections, HTTP_IDLE_MS from connection to its end, HTTP_HEAD_MAX bytes of request */
#ifndef ITO_IO_HTTP_H
#define ITO_IO_HTTP_H

#include "io/loop.h"

#define HTTP_CLIENTS 8
#define HTTP_IDLE_MS 5000

struct http;

struct http_config {
    struct addr bind;         /* port 0: any */
    const char *path;         /* "/metrics"; borrowed */
    const char *type;         /* media type; borrowed */
    char *(*page)(void *arg); /* mem_free() by us */
    void *arg;
};

/* ERR_REFUSED: not loopback. ERR_IO: the port cannot be had. */
enum err http_listen(struct io *io, const struct http_config *config, struct http **out,
                     struct err_detail *detail);
void http_close(struct http *h); /* accepts NULL */
uint16_t http_port(const struct http *h);

#endif
