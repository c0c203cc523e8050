#define ERR_STATE OPENSSL_ERR_STATE /* a type of theirs, a code of ours */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#undef ERR_STATE

#include "io/tls.h"

#include "base/mem.h"

#define CERT_DAYS 3650

struct tls_context {
    SSL_CTX *ctx;
    bool is_server;
};

struct tls {
    SSL *ssl;
    BIO *in, *out;
};

/* A key and a certificate of nobody, for this run. */
static bool make_certificate(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool is_made = false;

    if (key != NULL && cert != NULL) {
        X509_NAME *name = X509_get_subject_name(cert);

        X509_set_version(cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * CERT_DAYS);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
        X509_set_issuer_name(cert, name);
        X509_set_pubkey(cert, key);
        is_made = X509_sign(cert, key, EVP_sha256()) > 0 && SSL_CTX_use_certificate(ctx, cert) == 1 &&
                  SSL_CTX_use_PrivateKey(ctx, key) == 1;
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return is_made;
}

struct tls_context *tls_context_create(bool is_server)
{
    struct tls_context *c = mem_alloc(sizeof *c);

    c->is_server = is_server;
    c->ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (c->ctx == NULL || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1 ||
        (is_server && !make_certificate(c->ctx))) {
        tls_context_destroy(c);
        ERR_clear_error();
        return NULL;
    }
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
    return c;
}

void tls_context_destroy(struct tls_context *c)
{
    if (c == NULL)
        return;
    SSL_CTX_free(c->ctx);
    mem_free(c);
}

struct tls *tls_create(struct tls_context *c)
{
    struct tls *t = mem_alloc(sizeof *t);

    t->ssl = SSL_new(c->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->ssl == NULL || t->in == NULL || t->out == NULL) {
        SSL_free(t->ssl);
        BIO_free(t->in);
        BIO_free(t->out);
        mem_free(t);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    if (c->is_server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        SSL_do_handshake(t->ssl); /* the first flight, into out */
        ERR_clear_error();
    }
    return t;
}

void tls_destroy(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl); /* and both BIOs */
    mem_free(t);
}

/* Waiting for the other side is fine. */
static enum err judge(struct tls *t, int result)
{
    int e = SSL_get_error(t->ssl, result);

    ERR_clear_error();
    return result > 0 || e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? ERR_OK : ERR_IO;
}

enum err tls_input(struct tls *t, struct slice bytes)
{
    if (BIO_ctrl_pending(t->in) + bytes.len > TLS_PENDING_MAX ||
        (bytes.len > 0 && BIO_write(t->in, bytes.data, (int)bytes.len) != (int)bytes.len))
        return ERR_IO;
    return SSL_is_init_finished(t->ssl) ? ERR_OK : judge(t, SSL_do_handshake(t->ssl));
}

enum err tls_write(struct tls *t, struct slice bytes)
{
    if (BIO_ctrl_pending(t->out) + bytes.len > TLS_PENDING_MAX || !SSL_is_init_finished(t->ssl))
        return ERR_FULL;
    return bytes.len == 0 ? ERR_OK : judge(t, SSL_write(t->ssl, bytes.data, (int)bytes.len));
}

size_t tls_read(struct tls *t, void *buf, size_t size)
{
    int n = SSL_is_init_finished(t->ssl) ? SSL_read(t->ssl, buf, (int)size) : 0;

    ERR_clear_error();
    return n > 0 ? (size_t)n : 0;
}

size_t tls_output(struct tls *t, void *buf, size_t size)
{
    int n = BIO_read(t->out, buf, (int)size);

    return n > 0 ? (size_t)n : 0;
}

bool tls_is_ready(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl) != 0;
}
