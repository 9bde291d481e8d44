/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "alloc.h"
#include "queue_internal.h"

/* Jobs mostly end in the order in which they wait, and Redis removes them from the front of their
 * lane at less cost if a script may read the front first (scripts/shared/remove.lua). Whether it is
 * the front is for the script to find out. What must be known here is that it will not come across
 * a large entry, which would hold Redis for up to a second. So the ids of the large entries that
 * were handed out are kept until they have ended. */

void queue_front_saw(struct queue_lane *lane, const struct queue_entry *e)
{
    struct queue_bulky *b = &lane->bulky;

    if (e->bytes <= QUEUE_SMALL_BYTES && e->fields_count <= QUEUE_SMALL_SPANS && !e->oversized)
        return;
    if (b->count < array_len(b->at))
        b->at[b->count++] = e->id;
    else
        b->more = true;
}

bool queue_front_may_be_read(const struct queue_lane *lane, struct entry_id last)
{
    const struct queue_bulky *b = &lane->bulky;

    if (b->more || queue_id_compare(last, lane->seen) > 0)
        return false;
    for (size_t i = 0; i < b->count; i++)
        if (queue_id_compare(b->at[i], last) <= 0)
            return false;
    return true;
}

void queue_front_emptied(struct queue_lane *lane, struct entry_id newest)
{
    if (queue_id_compare(lane->seen, newest) <= 0)
        lane->bulky = (struct queue_bulky){.count = 0};
}

static bool is_bulky(const struct queue_lane *lane, struct entry_id id)
{
    for (size_t i = 0; i < lane->bulky.count; i++)
        if (queue_id_compare(lane->bulky.at[i], id) == 0)
            return true;
    return false;
}

static void forget_bulky(struct queue_lane *lane, struct entry_id id)
{
    struct queue_bulky *b = &lane->bulky;

    for (size_t i = 0; i < b->count; i++) {
        if (queue_id_compare(b->at[i], id) == 0) {
            b->at[i] = b->at[--b->count];
            return;
        }
    }
}

struct queue_leaving *queue_leaving_new(const struct queue *q, const struct queue_settle *items,
                                        size_t count)
{
    struct queue_leaving *l = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!is_bulky(&q->lanes[items[i].lane], items[i].id))
            continue;
        if (!l)
            l = alloc_zeroed(1, sizeof(*l) + count * sizeof(l->at[0]));
        l->at[l->count++] = (struct queue_left){items[i].lane, items[i].id};
    }
    return l;
}

void queue_leaving_end(struct queue *q, struct queue_leaving *l, int err)
{
    for (size_t i = 0; l && err == 0 && i < l->count; i++)
        forget_bulky(&q->lanes[l->at[i].lane], l->at[i].id);
    free(l);
}
