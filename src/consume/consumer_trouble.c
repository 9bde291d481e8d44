/* SPDX-License-Identifier: MIT */
#include "consumer_trouble.h"

#include <string.h>

bool consumer_trouble_begins(struct consumer_trouble *t, const char *why)
{
    bool known = t->now && strcmp(t->why.text, why) == 0;

    t->now = true;
    error_set(&t->why, -1, "%s", why);
    return !known;
}

bool consumer_trouble_ends(struct consumer_trouble *t)
{
    bool was = t->now;

    t->now = false;
    return was;
}
