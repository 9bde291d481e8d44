/* SPDX-License-Identifier: MIT
 * One Redis stream: entries in the order of their ids, some of them deleted.
 * https://redis.io/docs/latest/develop/data-types/streams/ */
#pragma once

#include "queue.h"

/* An entry's fields: name, value, name, value ... in one allocation. */
struct fields {
    size_t count;
    struct span at[];
};

struct fields *fields_copy(const struct span *spans, size_t count);
struct span fields_get(const struct fields *f, const char *name); /* p NULL: no such field */

struct stream_entry {
    struct entry_id id;
    struct fields *fields; /* NULL: deleted */
};

/* Makes the fields of the next entry of a backlog that is not written out. */
typedef struct fields *stream_make_cb(void *ctx);

struct stream {
    struct stream_entry *at; /* [first, first + count): the gone ones among them are passed over */
    size_t first, count, room, gone;
    struct entry_id last;
    uint64_t length; /* as XLEN has it */
    uint64_t unmade; /* entries that are there, but made only when they are read */
    stream_make_cb *make;
    void *make_ctx;
};

int entry_id_compare(struct entry_id a, struct entry_id b);

void stream_init(struct stream *s);
void stream_deinit(struct stream *s);
/* XADD *; takes the fields. */
struct entry_id stream_add(struct stream *s, struct fields *f, uint64_t now_ms);
/* The next number of ids without their entries: they are taken at reading time. */
void stream_backlog(struct stream *s, uint64_t count, stream_make_cb *make, void *ctx);
struct stream_entry *stream_find(struct stream *s, struct entry_id id); /* no deleted one */
bool stream_delete(struct stream *s, struct entry_id id);               /* XDEL */
/* XREAD. The entries are lent until the stream changes. */
size_t stream_read(struct stream *s, struct entry_id after, size_t most, uint64_t now_ms,
                   struct stream_entry **out);
bool stream_has_after(const struct stream *s, struct entry_id id);
