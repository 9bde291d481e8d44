/* SPDX-License-Identifier: MIT */
#include "redis_lookup.h"

#include <netdb.h>
#include <stdlib.h>
#include <uv.h>

#include "alloc.h"

struct redis_lookup {
    uv_getaddrinfo_t req;
    redis_lookup_cb *cb; /* NULL: nothing waits for it any more */
    void *ctx;
};

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct redis_lookup k = *(struct redis_lookup *)req->data;

    free(req->data);
    if (!k.cb || status < 0) {
        uv_freeaddrinfo(found);
        found = NULL;
    }
    if (k.cb)
        k.cb(k.ctx, found, found ? NULL : uv_strerror(status));
}

struct redis_lookup *redis_lookup_new(struct loop *l, const char *host, redis_lookup_cb *cb,
                                      void *ctx, const char **why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct redis_lookup *k = alloc_zeroed(1, sizeof(*k));
    int err;

    k->cb = cb;
    k->ctx = ctx;
    k->req.data = k;
    err = uv_getaddrinfo(loop_uv(l), &k->req, on_resolved, host, NULL, &hints);
    if (err == 0)
        return k;
    free(k);
    *why = uv_strerror(err);
    return NULL;
}

void redis_lookup_cancel(struct redis_lookup *k)
{
    if (!k)
        return;
    k->cb = NULL;
    (void)uv_cancel((uv_req_t *)&k->req);
}
