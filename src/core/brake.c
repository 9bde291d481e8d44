/* SPDX-License-Identifier: MIT */
#include "brake.h"

const char *const brake_state_names[] = {[BRAKE_FREE] = "free",
                                         [BRAKE_HELD] = "held",
                                         [BRAKE_PROBING] = "probing",
                                         [BRAKE_GROWING] = "growing"};

const char *const brake_cause_names[] = {
    [BRAKE_THROTTLE] = "throttled", [BRAKE_OUTAGE] = "outage", [BRAKE_TOKEN] = "token refused"};

#define HOLD_FIRST_MS 1000u
#define HOLD_MAX_MS 60000u
#define WAIT_MAX_MS (3600u * 1000u) /* longer hints are cut to an hour */

void brake_init(struct brake *b)
{
    *b = (struct brake){.state = BRAKE_FREE, .limit = 1};
}

uint32_t brake_limit(struct brake *b, uint32_t max, uint64_t now_ns)
{
    if (b->state == BRAKE_HELD && now_ns >= b->until_ns)
        b->state = BRAKE_PROBING;
    switch (b->state) {
    case BRAKE_FREE:
        return max;
    case BRAKE_HELD:
        return 0;
    case BRAKE_PROBING:
        return 1;
    case BRAKE_GROWING:
        return b->limit < max ? b->limit : max;
    }
    return 0;
}

void brake_good(struct brake *b, uint32_t epoch, uint32_t max)
{
    if (epoch != b->epoch)
        return;
    b->failures = 0;
    if (b->state == BRAKE_PROBING) {
        b->state = BRAKE_GROWING;
        b->since_ns = 0;
        b->limit = 2;
    } else if (b->state == BRAKE_GROWING && ++b->limit >= max) {
        b->state = BRAKE_FREE;
        b->tries = 0;
    }
}

static uint64_t hold_ms(const struct brake *b, uint64_t hint_ms)
{
    uint64_t own = HOLD_FIRST_MS;

    if (hint_ms)
        return min_u64(hint_ms, WAIT_MAX_MS);
    for (uint32_t i = 0; i < b->tries && own < HOLD_MAX_MS; i++)
        own *= 2;
    return min_u64(own, HOLD_MAX_MS);
}

bool brake_hold(struct brake *b, enum brake_cause cause, uint32_t epoch, uint64_t wait_ms,
                uint64_t now_ns)
{
    uint64_t until;

    if (epoch != b->epoch) {
        /* The request was already in flight when the hold began. Its reply can only extend the
         * hold. */
        until = now_ns + min_u64(wait_ms, WAIT_MAX_MS) * NS_PER_MS;
        if (b->state == BRAKE_HELD)
            b->until_ns = max_u64(b->until_ns, until);
        return false;
    }
    until = now_ns + hold_ms(b, wait_ms) * NS_PER_MS;
    if (b->since_ns == 0 || b->cause != cause)
        b->since_ns = max_u64(now_ns, 1);
    b->state = BRAKE_HELD;
    b->cause = cause;
    b->until_ns = until;
    if (!wait_ms) /* the backoff grows only when the server gives no hint */
        b->tries++;
    b->failures = 0;
    b->epoch++;
    return true;
}

bool brake_failure(struct brake *b, uint32_t epoch, uint64_t wait_ms, uint64_t now_ns)
{
    if (epoch != b->epoch)
        return false;
    b->failures++;
    if (b->state == BRAKE_FREE && b->failures < BRAKE_OUTAGE_AFTER)
        return false;
    return brake_hold(b, BRAKE_OUTAGE, epoch, wait_ms, now_ns);
}

uint64_t brake_wait_ms(const struct brake *b, uint64_t now_ns)
{
    return (b->until_ns - min_u64(now_ns, b->until_ns)) / NS_PER_MS;
}

void brake_release(struct brake *b)
{
    uint32_t epoch = b->epoch;

    brake_init(b);
    b->epoch = epoch + 1;
}
