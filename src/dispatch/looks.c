/* SPDX-License-Identifier: MIT */
#include "looks.h"

#include <stdlib.h>

#include "alloc.h"
#include "dispatch_internal.h"

#define LOOKS_MAX 8u /* under way at once */
#define MINUTE_NS (60 * NS_PER_S)

struct page_look {
    struct list link;
    struct looks *looks; /* NULL: the account is gone */
    looks_cb *cb;        /* NULL: nobody waits for it */
    void *ctx;
};

struct looks {
    struct dispatch *d;
    struct list under_way;
    uint32_t count;
    uint64_t minute_ns; /* when the current minute of looks began */
    uint32_t minute_looks;
};

struct looks *looks_new(struct dispatch *d)
{
    struct looks *l = alloc_zeroed(1, sizeof(*l));

    l->d = d;
    list_init(&l->under_way);
    return l;
}

void looks_free(struct looks *l)
{
    if (!l)
        return;
    list_each(it, &l->under_way)
        list_entry(it, struct page_look, link)->looks = NULL;
    list_remove(&l->under_way);
    free(l);
}

void looks_forget(struct page_look *look)
{
    if (look)
        look->cb = NULL;
}

uint64_t looks_bytes(const struct looks *l)
{
    return l->count * EXCHANGE_PAGE_HEAD_MAX_BYTES;
}

bool looks_may(struct looks *l, uint64_t now_ns, uint64_t *again_ns)
{
    if (l->count >= LOOKS_MAX) {
        *again_ns = NEVER; /* their replies ask for a tick */
        return false;
    }
    if (now_ns - l->minute_ns >= MINUTE_NS) {
        l->minute_ns = now_ns;
        l->minute_looks = 0;
    }
    *again_ns = l->minute_ns + MINUTE_NS;
    return l->minute_looks < l->d->account->verify.per_minute;
}

static void on_page_fetched(struct exchange *x)
{
    struct page_look *look = x->ctx;
    struct looks *l = look->looks;

    if (l) {
        list_remove(&look->link);
        l->count--;
    }
    if (l && look->cb)
        look->cb(look->ctx, x);
    free(look);
    exchange_free(x);
    if (l)
        dispatch_wake(l->d);
}

static enum exchange_peer page_peer(const struct looks *l, const struct exchange *x)
{
    struct span host, rest;

    if (x->via.n)
        return EXCHANGE_CHOSEN;
    url_split(buf_span(&x->url), &host, &rest);
    return host_is_address(host) && config_words_have_host(&l->d->account->direct_hosts, host)
               ? EXCHANGE_CHOSEN
               : EXCHANGE_STRANGER;
}

static bool has_scheme(struct span url)
{
    return span_starts_nocase(url, "https://") || span_starts_nocase(url, "http://");
}

struct page_look *looks_begin(struct looks *l, struct span url, const char *via, looks_cb *cb,
                              void *ctx)
{
    struct exchange *x = exchange_new(l->d->endpoint, EXCHANGE_PAGE_HEAD_MAX_BYTES);
    struct page_look *look = alloc_zeroed(1, sizeof(*look));

    *look = (struct page_look){.looks = l, .cb = cb, .ctx = ctx};
    list_push_back(&l->under_way, &look->link);
    l->count++;
    l->minute_looks++;
    x->ctx = look;
    x->answered = on_page_fetched;
    x->method = "GET";
    x->page = true;
    buf_printf(&x->url, "%s%.*s", has_scheme(url) ? "" : "https://", (int)url.n, url.p);
    if (via)
        buf_put(&x->via, span_str(via));
    x->peer = page_peer(l, x);
    senders_send(l->d->options.senders, x);
    return look;
}
