/* SPDX-License-Identifier: MIT */
#include "quota.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

struct quota_party {
    struct list link;
    struct quota *quota;
    uint64_t used;
    uint32_t bills;
    char name[];
};

void quota_init(struct quota *q, uint64_t max)
{
    *q = (struct quota){.max = max};
    list_init(&q->parties);
}

void quota_notify(struct quota *q, void (*freed)(void *ctx), void *ctx)
{
    q->freed = freed;
    q->ctx = ctx;
}

void quota_deinit(struct quota *q)
{
    must(list_empty(&q->parties) && q->used == 0);
}

uint64_t quota_most(const struct quota *q)
{
    return q->max / 3 * 2;
}

uint64_t quota_bill_room(const struct quota_bill *b)
{
    uint64_t most = quota_most(b->party->quota);

    return most - min_u64(most, b->bytes);
}

static struct quota_party *party_of(struct quota *q, const char *name)
{
    struct quota_party *p;

    list_each(node, &q->parties) {
        p = list_entry(node, struct quota_party, link);
        if (strcmp(p->name, name) == 0)
            return p;
    }
    p = alloc_zeroed(1, sizeof(*p) + strlen(name) + 1);
    p->quota = q;
    memcpy(p->name, name, strlen(name) + 1);
    list_push_back(&q->parties, &p->link);
    return p;
}

void quota_bill_open(struct quota *q, const char *party, struct quota_bill *b)
{
    *b = (struct quota_bill){.party = party_of(q, party)};
    b->party->bills++;
}

void quota_bill_close(struct quota_bill *b)
{
    struct quota_party *p = b->party;

    if (!p)
        return;
    quota_give(b, b->bytes);
    b->party = NULL;
    if (--p->bills)
        return;
    must(p->used == 0);
    list_remove(&p->link);
    free(p);
}

bool quota_take(struct quota_bill *b, uint64_t n)
{
    struct quota_party *p = b->party;
    struct quota *q = p->quota;

    if (n > q->max || q->used > q->max - n || (p->used + n) / 2 > q->max - q->used - n) {
        q->refused++;
        return false;
    }
    quota_take_over(b, n);
    return true;
}

void quota_take_over(struct quota_bill *b, uint64_t n)
{
    b->bytes += n;
    b->party->used += n;
    b->party->quota->used += n;
}

void quota_give(struct quota_bill *b, uint64_t n)
{
    struct quota *q = b->party->quota;

    must(n <= b->bytes);
    b->bytes -= n;
    b->party->used -= n;
    q->used -= n;
    if (n && q->freed)
        q->freed(q->ctx);
}
