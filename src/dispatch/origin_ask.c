/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "origin_internal.h"
#include "target.h"

#define ASKS_MAX 16u /* under way, of an account */
#define PAUSE_FIRST_MS 250u
#define PAUSE_MAX_MS 10000u

/* -- questions ------------------------------------------------------------------------------ */

size_t origin_question_bytes(size_t key_bytes)
{
    return ALLOC_TAKES(sizeof(struct origin_question) + key_bytes) + ORIGIN_HOST_BYTES;
}

struct origin_question *origin_question_of(struct origin *o, const struct when *w, uint64_t now_ns)
{
    struct origin_question *q;
    struct buf key;

    buf_init(&key, 2 * WHEN_MAX_BYTES);
    when_put_question(w, &key);
    HASH_FIND(hh, o->questions, key.p, key.n, q);
    if (!q) {
        q = alloc_zeroed(1, sizeof(*q) + key.n);
        q->when = *w;
        q->key_bytes = key.n;
        memcpy(q->key, key.p, key.n);
        q->pause_ms = PAUSE_FIRST_MS;
        q->host = origin_host_of(&o->hosts, span_str(w->url), now_ns);
        q->host->questions++;
        list_init(&q->jobs);
        heap_node_init(&q->due);
        heap_insert(&o->due, &q->due, now_ns);
        HASH_ADD_KEYPTR(hh, o->questions, q->key, q->key_bytes, q);
        o->bytes += origin_question_bytes(q->key_bytes);
    }
    buf_deinit(&key);
    return q;
}

void origin_drop_question(struct origin *o, struct origin_question *q)
{
    if (!list_empty(&q->jobs))
        return;
    if (q->ask)
        q->ask->question = NULL;
    heap_remove(&o->due, &q->due);
    HASH_DEL(o->questions, q);
    q->host->questions--;
    o->bytes -= origin_question_bytes(q->key_bytes);
    free(q);
}

void origin_ask_at(struct origin *o, struct origin_question *q, uint64_t at_ns)
{
    if (q->ask)
        return;
    heap_remove(&o->due, &q->due);
    heap_insert(&o->due, &q->due, at_ns);
}

/* What the answer says, in words for producers. */
static enum origin_result judge_answer(const struct origin_question *q, const struct exchange *x,
                                       char *seen, size_t room)
{
    struct when_seen answer = {.status = x->error == EXCHANGE_OK ? x->status : 0,
                               .has_header = x->look->found,
                               .header = span_str(x->look->value),
                               .body = buf_span(&x->reply),
                               .error = x->error_text};

    if (when_shown(&q->when, &answer))
        return ORIGIN_SHOWN;
    when_describe(&q->when, &answer, seen, room);
    return answer.status ? ORIGIN_NOT_YET : ORIGIN_FAILED;
}

/* The next pause is about twice as long as the one before; the jitter keeps questions apart. */
static void ask_again(struct origin *o, struct origin_question *q, uint64_t now_ns)
{
    uint64_t pause_ms = q->pause_ms * 3 / 4 + rng_below(&o->rng, q->pause_ms / 2);

    q->pause_ms = min_u64(q->pause_ms * 2, PAUSE_MAX_MS);
    origin_ask_at(o, q, now_ns + pause_ms * NS_PER_MS);
}

static bool awaits_its_end(const struct origin_question *q)
{
    list_each(it, &q->jobs)
        if (list_entry(it, struct origin_held, link)->over_ns)
            return true;
    return false;
}

/* Says once that a purge-all waits, and once that it does no longer. */
static void say_gate(const struct origin *o, struct origin_question *q, enum origin_result result)
{
    if (result != ORIGIN_SHOWN && !q->told)
        log_warn("A purge-all waits until the URL of purge_all_needs answers with 2xx",
                 "account=%s why=\"%s\"", o->account->name, q->seen);
    else if (result == ORIGIN_SHOWN && q->told)
        log_info("The URL of purge_all_needs answers with 2xx again", "account=%s",
                 o->account->name);
    q->told = result != ORIGIN_SHOWN;
}

static void use_answer(struct origin *o, struct origin_question *q, const struct exchange *x,
                       uint64_t asked_ns)
{
    char seen[WHEN_REASON_MAX] = "";
    uint64_t now_ns = clock_mono_ns();
    enum origin_result result = judge_answer(q, x, seen, sizeof(seen));

    o->counts.asks[result]++;
    q->ask = NULL;
    memcpy(q->seen, seen, sizeof(q->seen));
    if (q->when.status == WHEN_2XX)
        say_gate(o, q, result);
    if (result == ORIGIN_SHOWN)
        origin_release(o, q, asked_ns);
    else
        origin_give_up(o, q, seen, asked_ns);
    if (result == ORIGIN_SHOWN || awaits_its_end(q))
        origin_ask_at(o, q, now_ns);
    else
        ask_again(o, q, now_ns);
    origin_drop_question(o, q);
}

static void on_origin_answer(struct exchange *x)
{
    struct origin_ask *a = x->ctx;
    struct origin *o = a->origin;

    if (o) {
        list_remove(&a->link);
        a->host->asking--;
        o->asking--;
        if (a->question)
            use_answer(o, a->question, x, a->asked_ns);
        o->cb->changed(o->ctx);
    }
    exchange_free(x);
    free(a);
}

/* -- asking ---------------------------------------------------------------------------------- */

/* An address was written by the operator, and so was the whole URL of purge_all_needs; another name
 * may resolve to any address. */
static enum exchange_peer peer_of_question(const struct origin_question *q)
{
    if (q->when.status == WHEN_2XX)
        return EXCHANGE_CHOSEN;
    return host_is_address(span_str(q->host->name)) ? EXCHANGE_CHOSEN : EXCHANGE_STRANGER;
}

static void send_ask(struct origin *o, struct origin_question *q, uint64_t now_ns)
{
    struct exchange *x = exchange_new(o->endpoint, WHEN_BODY_MAX_BYTES);
    struct origin_ask *a = alloc_zeroed(1, sizeof(*a));

    a->origin = o;
    a->question = q;
    a->host = q->host;
    a->asked_ns = now_ns;
    memcpy(a->header, q->when.header, sizeof(a->header));
    a->look.header = a->header;
    list_push_back(&o->asks, &a->link);
    x->ctx = a;
    x->answered = on_origin_answer;
    x->look = &a->look;
    x->method = "GET";
    x->peer = peer_of_question(q);
    buf_put(&x->url, span_str(q->when.url));
    buf_put(&x->header, SPAN("Cache-Control: no-cache")); /* for caches in front of the origin */
    q->ask = a;
    origin_host_asked(q->host, o->account->origin_asks_per_s, now_ns);
    o->asking++;
    senders_send(o->senders, x);
}

uint64_t origin_ask_due(struct origin *o, uint64_t now_ns)
{
    struct heap_node *node;
    uint64_t when_ns;

    while ((node = heap_min(&o->due)) && node->key <= now_ns) {
        struct origin_question *q = container_of(node, struct origin_question, due);

        if (o->asking >= ASKS_MAX)
            return NEVER; /* an answer wakes us */
        heap_remove(&o->due, node);
        when_ns = origin_host_when_ns(q->host, now_ns);
        if (when_ns > now_ns)
            heap_insert(&o->due, node, when_ns);
        else
            send_ask(o, q, now_ns);
    }
    return node ? node->key : NEVER;
}

void origin_orphan_asks(struct origin *o)
{
    struct list *node;

    while ((node = list_pop_front(&o->asks)))
        list_entry(node, struct origin_ask, link)->origin = NULL;
}
