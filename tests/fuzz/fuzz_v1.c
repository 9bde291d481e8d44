/* SPDX-License-Identifier: MIT
 * The JSON of our own API. Input: a digit that chooses the route, then the body. */
#include "client.h"
#include "visit_world.h"

static const char *const heads[] = {
    "POST /v1/purge HTTP/1.1\r\n",
    "POST /v1/purge HTTP/1.1\r\nIdempotency-Key: k\r\n",
    "POST /v1/plan?fresh=1&requests=20 HTTP/1.1\r\n",
    "POST /v1/purge/bulk HTTP/1.1\r\n",
    "POST /v1/pause HTTP/1.1\r\n",
    "POST /v1/resume HTTP/1.1\r\n",
    "POST /v1/dead/retry HTTP/1.1\r\n",
    "POST /v1/dead/drop HTTP/1.1\r\n",
};

#define PLAN 2

/* These routes wait for an answer of Redis, and there is no Redis. */
static bool blocks(size_t route)
{
    return route >= 4;
}

/* A plan that does not use the backlog opens a connection, too, but need not use it. The linker
 * uses these functions instead of io's (-Wl,--wrap). */
static bool there_is_a_client;

int __wrap_client_open(const struct redis_address *a, struct client **out, char *err, size_t room);
void __wrap_client_set_patience(struct client *c, uint32_t answer_s);
void __wrap_client_close(struct client *c);

int __wrap_client_open(const struct redis_address *a, struct client **out, char *err, size_t room)
{
    static max_align_t nobody;

    (void)a;
    snprintf(err, room, "nobody there");
    *out = there_is_a_client ? (struct client *)(void *)&nobody : NULL;
    return there_is_a_client ? 0 : -ENOTCONN;
}

void __wrap_client_set_patience(struct client *c, uint32_t answer_s)
{
    (void)c, (void)answer_s;
}

void __wrap_client_close(struct client *c)
{
    (void)c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text;
    size_t put = jobs_put;
    int status;

    if (size == 0 || size > 60000)
        return 0;
    there_is_a_client = data[0] % array_len(heads) == PLAN;
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "%sHost: x\r\nContent-Length: %zu\r\n\r\n", heads[data[0] % array_len(heads)],
               size - 1);
    buf_put(&text, span_of((const char *)data + 1, size - 1));
    status = first_status(visit_endpoint(buf_span(&text), text.n));
    must((status >= 200 && status < 500) || (status == 503 && blocks(data[0] % array_len(heads))));
    if (data[0] % array_len(heads) == 0)
        must((status == 202) == (jobs_put == put + 1)); /* a refusal pushes nothing */
    buf_deinit(&text);
    return 0;
}
