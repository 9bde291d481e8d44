/* SPDX-License-Identifier: MIT
 * A window with its lanes. Tests push jobs as a line of text, and take batches themselves. */
#pragma once

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fastly.h"
#include "window.h"

#define MS NS_PER_MS

struct world {
    struct lanes lanes;
    struct window window;
    struct grant grant;
    uint64_t now_ns;
    uint64_t ready_ns;
    uint32_t next_id;
    uint32_t ended[4]; /* by outcome */
    uint64_t last_ended;
    struct window_job last;         /* that ended */
    bool verify;                    /* what is pushed asks for a look at its pages ... */
    const struct verify_page *page; /* ... or at this one */
    bool keeps;                     /* jobs that name a page go on when they were purged */
    uint32_t kept;                  /* the last of these */
    const char *by;                 /* who pushes; NULL: nobody says so */
};

static inline struct world *world_new(uint32_t limit)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct lanes_options o = {.services = 3,
                              .batch_keys = FASTLY_BATCH_MAX_KEYS,
                              .batch_bytes = FASTLY_BATCH_MAX_BYTES,
                              .key_form = KEY_FORM_HEADER,
                              .batch_cost = BATCH_COST_KEY};

    lanes_init(&w->lanes, &o);
    window_init(&w->window, limit, &w->lanes);
    for (int l = 0; l < LEDGER_N; l++)
        w->grant.units[l] = 1000000;
    return w;
}

static inline void on_end(void *ctx, const struct window_job *job)
{
    struct world *w = ctx;

    if (job->open > 0)
        return;
    if (job->page && w->keeps && job->outcome == OUTCOME_PURGED) {
        w->kept = window_keep(&w->window, job);
        return;
    }
    w->ended[job->outcome]++;
    w->last_ended = job->id_ms;
    w->last = *job;
}

static inline void world_free(struct world *w)
{
    window_deinit(&w->window);
    lanes_deinit(&w->lanes);
    free(w);
}

struct push {
    enum lane lane;
    uint16_t service;
    bool soft;
    uint64_t expires_ms;
};

/* Pushes one job with space-separated keys ("!" = purge-all, "url:..." = a URL). Returns its id. */
static inline uint32_t push_as(struct world *w, struct push p, const char *targets)
{
    struct job_target list[16];
    struct job_spec spec = {.targets = list,
                            .service = p.service,
                            .soft = p.soft,
                            .expires_ms = p.expires_ms,
                            .verify = w->verify || w->page,
                            .page = w->page,
                            .by = span_str(w->by ? w->by : "")};
    struct window_add how = {
        .lane = p.lane, .id_ms = ++w->next_id, .plain = true, .now_ns = w->now_ns};
    struct span rest = span_str(targets), word;

    while (span_next_word(&rest, ' ', &word)) {
        struct job_target *t = &list[spec.targets_count++];

        if (span_is(word, "!"))
            *t = (struct job_target){.kind = TARGET_ALL, .service = p.service};
        else if (word.n > 4 && memcmp(word.p, "url:", 4) == 0)
            *t = (struct job_target){TARGET_URL, p.service, span_of(word.p + 4, word.n - 4)};
        else
            *t = (struct job_target){TARGET_KEY, p.service, word};
    }
    window_add(&w->window, &spec, &how);
    return w->next_id;
}

static inline uint32_t push(struct world *w, const char *targets)
{
    return push_as(w, (struct push){.lane = LANE_NORMAL}, targets);
}

static inline struct batch *sent(struct world *w, struct batch *b)
{
    if (b && !b->bisect)
        list_each(it, &b->targets)
            window_sent(&w->window, pending_of(it));
    return b;
}

static inline struct batch *pick_lane(struct world *w, enum lane lane)
{
    w->ready_ns = NEVER;
    return sent(w, lanes_pick(&w->lanes, lane, &w->grant, w->now_ns, &w->ready_ns));
}

static inline struct batch *pick(struct world *w)
{
    struct batch *b;

    w->ready_ns = NEVER;
    b = sent(w, lanes_next(&w->lanes, &w->grant, w->now_ns, &w->ready_ns));
    if (b)
        lanes_account(&w->lanes, b->lane, b->cost, w->now_ns);
    return b;
}

static inline void finish(struct world *w, struct batch *b, enum outcome outcome)
{
    struct pending *t;

    while ((t = batch_pop(b)))
        window_settle(&w->window, t, outcome, on_end, w);
    batch_free(b);
}

static inline void bring_back(struct world *w, struct batch *b)
{
    struct pending *t;

    while ((t = batch_pop(b)))
        window_return(&w->window, t);
    batch_free(b);
}
