/* SPDX-License-Identifier: MIT */
#include "consumer_trouble.h"

#include <string.h>

#include "clock.h"

static void take_over(struct consumer_trouble *t, const char *why)
{
    t->now = true;
    error_set(&t->why, -1, "%s", why);
    t->other.text[0] = '\0';
}

bool consumer_trouble_begins(struct consumer_trouble *t, const char *why, uint64_t now_ns)
{
    if (!t->now) {
        take_over(t, why);
        return true;
    }
    if (strcmp(t->why.text, why) == 0) {
        t->other.text[0] = '\0';
        return false;
    }
    if (strcmp(t->other.text, why) != 0) {
        error_set(&t->other, -1, "%s", why);
        t->other_ns = now_ns;
        return false;
    }
    if (now_ns - t->other_ns < CONSUMER_TROUBLE_LASTS_S * NS_PER_S)
        return false;
    take_over(t, why);
    return true;
}

bool consumer_trouble_goes_on(struct consumer_trouble *t, const char *why, uint64_t now_ns)
{
    bool first = t->was_well;

    t->was_well = false;
    return !first && consumer_trouble_begins(t, why, now_ns);
}

bool consumer_trouble_ends(struct consumer_trouble *t)
{
    bool was = t->now;

    t->now = false;
    t->was_well = true;
    return was;
}
