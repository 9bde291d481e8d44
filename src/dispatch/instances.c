/* SPDX-License-Identifier: MIT */
#include "instances.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "process.h"

/* Accounts are only moved to balance the instances after this long without a change: when several
 * instances start or stop, each account moves at most once. */
#define SETTLE_NS (5 * NS_PER_S)
#define DEAD_EVERY_NS NS_PER_S /* how often to check whether a process is dead */

#define SEATS (1 + QUEUE_INSTANCES_MAX) /* a bit each in a set; seat 0 is this instance */
#define NO_SEAT 255u
#define WHOLE 1000000u /* an account, in shares */

struct seat {
    char owner[PROCESS_IDENTITY_MAX]; /* "": free */
    uint32_t mentions;                /* accounts that it is a member or the leader of */
    uint32_t leads;                   /* accounts */
    uint64_t share;                   /* of all accounts, in millionths of one */
    uint32_t incoming;                /* accounts that we are handing to it */
    bool dead;
    uint64_t dead_asked_ns;
};

struct led_account {
    uint64_t members;
    uint8_t leader; /* or NO_SEAT */
};

struct instances {
    struct seat seats[SEATS];
    struct led_account *accounts;
    uint32_t count;
    uint32_t outgoing; /* accounts that we are handing over */
    uint64_t changed_ns;
};

struct instances *instances_new(const char *owner, uint32_t accounts)
{
    struct instances *s = alloc_zeroed(1, sizeof(*s));

    s->accounts = alloc_zeroed(accounts, sizeof(*s->accounts));
    s->count = accounts;
    snprintf(s->seats[0].owner, sizeof(s->seats[0].owner), "%s", owner);
    s->seats[0].mentions = 1;
    for (uint32_t i = 0; i < accounts; i++)
        s->accounts[i].leader = NO_SEAT;
    return s;
}

void instances_free(struct instances *s)
{
    if (!s)
        return;
    free(s->accounts);
    free(s);
}

/* -- what was heard -- */

static uint8_t find_seat(const struct instances *s, struct span owner)
{
    for (uint8_t i = 0; i < SEATS; i++)
        if (span_is(owner, s->seats[i].owner))
            return i;
    return NO_SEAT;
}

/* A seat is kept after its instance has gone, and with it that its process is dead, until others
 * need it. */
static void make_room(struct instances *s)
{
    if (find_seat(s, SPAN("")) != NO_SEAT)
        return;
    for (uint8_t i = 1; i < SEATS; i++)
        if (s->seats[i].mentions == 0 && s->seats[i].incoming == 0)
            s->seats[i].owner[0] = '\0';
}

/* NO_SEAT if all are taken, or the name is none of an instance. */
static uint8_t seat_of(struct instances *s, struct span owner)
{
    uint8_t i;

    if (owner.n == 0 || owner.n >= PROCESS_IDENTITY_MAX)
        return NO_SEAT;
    i = find_seat(s, owner);
    if (i != NO_SEAT)
        return i;
    i = find_seat(s, SPAN(""));
    if (i != NO_SEAT) {
        s->seats[i] = (struct seat){.dead_asked_ns = NEVER};
        memcpy(s->seats[i].owner, owner.p, owner.n);
    }
    return i;
}

static uint32_t size_of(uint64_t members)
{
    return (uint32_t)__builtin_popcountll(members);
}

static void add(struct instances *s, const struct led_account *k)
{
    for (uint8_t i = 0; i < SEATS; i++)
        if (k->members >> i & 1) {
            s->seats[i].mentions++;
            s->seats[i].share += WHOLE / size_of(k->members);
        }
    if (k->leader != NO_SEAT) {
        s->seats[k->leader].mentions++;
        s->seats[k->leader].leads++;
    }
}

static void subtract(struct instances *s, const struct led_account *k)
{
    if (k->leader != NO_SEAT) {
        s->seats[k->leader].leads--;
        s->seats[k->leader].mentions--;
    }
    for (uint8_t i = 0; i < SEATS; i++)
        if (k->members >> i & 1) {
            s->seats[i].share -= WHOLE / size_of(k->members);
            s->seats[i].mentions--;
        }
}

static bool is_dead(struct seat *seat, uint64_t now_ns)
{
    if (!seat->dead &&
        (seat->dead_asked_ns == NEVER || now_ns - seat->dead_asked_ns >= DEAD_EVERY_NS)) {
        seat->dead = process_is_dead(seat->owner);
        seat->dead_asked_ns = now_ns;
    }
    return seat->dead;
}

void instances_heard(struct instances *s, uint32_t account, const struct queue_lease *lead,
                     uint64_t now_ns)
{
    struct led_account *old = &s->accounts[account], fresh = {.members = 1};

    make_room(s);
    for (size_t i = 0; i < lead->others_count; i++) {
        const struct queue_instance *other = &lead->others[i];
        uint8_t seat = other->leaving ? NO_SEAT : seat_of(s, other->owner);

        if (seat != NO_SEAT && !is_dead(&s->seats[seat], now_ns))
            fresh.members |= (uint64_t)1 << seat;
    }
    fresh.leader = seat_of(s, span_str(lead->holder));
    if (fresh.members != old->members)
        s->changed_ns = now_ns;
    add(s, &fresh);
    subtract(s, old);
    *old = fresh;
}

void instances_released(struct instances *s, uint32_t account, const char *to)
{
    struct led_account fresh = s->accounts[account];

    fresh.leader = find_seat(s, span_str(to));
    add(s, &fresh);
    subtract(s, &s->accounts[account]);
    s->accounts[account] = fresh;
}

/* -- who should lead -- */

/* FNV-1a, and then the end of MurmurHash3, because names differ in few bits:
 * http://www.isthe.com/chongo/tech/comp/fnv/, https://github.com/aappleby/smhasher/ */
static uint64_t weight(const char *account, const char *owner)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const char *p = account; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
    hash = (hash ^ '/') * UINT64_C(1099511628211);
    for (const char *p = owner; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}

/* What the instance leads beyond its share, in millionths of an account. What we are handing over
 * counts as done. */
static int64_t excess(const struct instances *s, uint8_t seat)
{
    const struct seat *it = &s->seats[seat];
    uint64_t leads = it->leads + it->incoming - (seat == 0 ? min_u64(it->leads, s->outgoing) : 0);

    return (int64_t)(leads * WHOLE) - (int64_t)it->share;
}

/* The instance with the highest weight among the candidates that lead less than their share; among
 * all candidates if none does. */
static uint8_t choose(const struct instances *s, uint64_t candidates, const char *name)
{
    uint64_t highest[2] = {0, 0};
    uint8_t best[2] = {NO_SEAT, NO_SEAT};

    for (uint8_t i = 0; i < SEATS; i++) {
        int full;
        uint64_t w;

        if ((candidates >> i & 1) == 0)
            continue;
        full = excess(s, i) > -(int64_t)WHOLE / 1000;
        w = weight(name, s->seats[i].owner);
        if (best[full] != NO_SEAT && w <= highest[full])
            continue;
        highest[full] = w;
        best[full] = i;
    }
    return best[0] != NO_SEAT ? best[0] : best[1];
}

bool instances_prefer_us(const struct instances *s, uint32_t account, const char *name)
{
    uint64_t members = s->accounts[account].members;

    return members == 1 || (members && choose(s, members, name) == 0);
}

const char *instances_successor(const struct instances *s, uint32_t account, const char *name)
{
    uint64_t others = s->accounts[account].members & ~UINT64_C(1);

    return others ? s->seats[choose(s, others, name)].owner : NULL;
}

const char *instances_lighter(const struct instances *s, uint32_t account, const char *name,
                              uint64_t now_ns)
{
    uint64_t others = s->accounts[account].members & ~UINT64_C(1), lighter = 0;

    if (now_ns - s->changed_ns < SETTLE_NS)
        return NULL;
    for (uint8_t i = 1; i < SEATS; i++)
        if (others >> i & 1 && excess(s, 0) - excess(s, i) > (int64_t)(WHOLE + WHOLE / 1000))
            lighter |= (uint64_t)1 << i;
    return lighter ? s->seats[choose(s, lighter, name)].owner : NULL;
}

/* -- hand-overs -- */

bool instances_begin_hand_over(struct instances *s, const char *to, enum hand_over_why why)
{
    uint8_t seat = find_seat(s, span_str(to));

    if (seat == NO_SEAT ||
        s->outgoing >= (why == HAND_OVER_STOPPING ? INSTANCES_HAND_OVERS_STOPPING
                                                  : INSTANCES_HAND_OVERS_BALANCING))
        return false;
    s->seats[seat].incoming++;
    s->outgoing++;
    return true;
}

void instances_end_hand_over(struct instances *s, const char *to)
{
    uint8_t seat = find_seat(s, span_str(to));

    must(seat != NO_SEAT && s->seats[seat].incoming > 0 && s->outgoing > 0);
    s->seats[seat].incoming--;
    s->outgoing--;
}

/* -- reports -- */

uint32_t instances_count(const struct instances *s, uint32_t account)
{
    return max_u64(1, size_of(s->accounts[account].members));
}

uint32_t instances_led(const struct instances *s)
{
    return s->seats[0].leads;
}

uint32_t instances_accounts(const struct instances *s)
{
    return s->count;
}
