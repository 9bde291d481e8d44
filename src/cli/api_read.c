/* SPDX-License-Identifier: MIT */
#include "api_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "read_ledger.h"
#include "redis_config.h"

struct api_reader {
    const struct config *config;
    struct client *client;
    bool tried;
    struct error uncounted; /* "": none was */
};

struct api_reader *api_reader_open(const struct config *c)
{
    struct api_reader *r = alloc_zeroed(1, sizeof(*r));

    r->config = c;
    return r;
}

void api_reader_close(struct api_reader *r)
{
    if (!r)
        return;
    client_close(r->client);
    free(r);
}

const char *api_reader_uncounted(const struct api_reader *r)
{
    return r->uncounted.text;
}

/* Without Redis: a person must not wait for it before every request. */
static void give_up_counting(struct api_reader *r)
{
    error_set(&r->uncounted, -EIO, "%s", client_error(r->client));
    client_close(r->client);
    r->client = NULL;
}

static void open_ledger(struct api_reader *r)
{
    struct redis_address address;

    if (r->tried)
        return;
    r->tried = true;
    if (redis_config_address(r->config, &address, &r->uncounted) < 0)
        return;
    if (client_open(&address, &r->client, &r->uncounted) < 0)
        r->client = NULL;
    redis_address_deinit(&address);
}

/* 0: it may be sent. */
static int count(struct api_reader *r, const struct config_account *a, enum read_kind kind,
                 struct error *err)
{
    struct read_refusal why;
    char words[200];
    int rc;

    open_ledger(r);
    rc = r->client ? read_ledger_take(r->client, a, kind, &why) : 0;
    if (rc == -EAGAIN) {
        read_refusal_words(a, &why, clock_wall_ms(), words, sizeof(words));
        return error_set(err, -EAGAIN, "%s", words);
    }
    if (rc < 0)
        give_up_counting(r);
    return 0;
}

int api_read(struct api_reader *r, const struct config_account *a, const struct fetch_secrets *s,
             enum read_kind kind, const char *path, struct buf *body, struct fetch_answer *answer,
             struct error *err)
{
    int rc = count(r, a, kind, err);
    uint64_t wait_ms;

    if (rc == 0)
        rc = fetch(a, s, path, body, answer, err);
    if (rc < 0 || answer->status != 429 || !r->client)
        return rc;
    wait_ms = answer->wait_ms ? answer->wait_ms : READ_HOLD_MS;
    if (read_ledger_hold(r->client, a, kind, wait_ms) < 0)
        give_up_counting(r);
    return 0;
}
