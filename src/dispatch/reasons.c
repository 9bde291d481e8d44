/* SPDX-License-Identifier: MIT */
#include "reasons.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

uint16_t reasons_hold(struct reasons *r, const char *text)
{
    struct reason *to = NULL;

    if (!*text)
        return 0;
    for (uint32_t i = 0; i < REASONS_MAX; i++) {
        struct reason *at = &r->at[i];

        if (!at->text && !to)
            to = at;
        if (!at->text || strcmp(at->text, text) != 0)
            continue;
        to = at;
        break;
    }
    if (!to)
        return 0;
    if (!to->text)
        to->text = alloc_str(text);
    to->holders++;
    return (uint16_t)(to - r->at + 1);
}

void reasons_drop(struct reasons *r, uint16_t number)
{
    struct reason *at;

    if (number == 0)
        return;
    at = &r->at[number - 1];
    must(at->holders > 0);
    if (--at->holders > 0)
        return;
    free(at->text);
    at->text = NULL;
}

const char *reasons_text(const struct reasons *r, uint16_t number)
{
    return number ? r->at[number - 1].text : "";
}

uint64_t reasons_bytes(const struct reasons *r)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < REASONS_MAX; i++)
        if (r->at[i].text)
            bytes += ALLOC_TAKES(strlen(r->at[i].text) + 1);
    return bytes;
}
