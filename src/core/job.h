/* SPDX-License-Identifier: MIT
 * A job of a producer: decodes the fields of a stream entry into checked targets, and names the
 * field that is invalid. */
#pragma once

#include "config.h"
#include "span.h"
#include "target.h"

#define JOB_TARGETS_MAX 10000
#define JOB_REF_MAX_BYTES 256
#define JOB_REPEAT_MAX_MS (24u * 3600u * 1000u)
#define JOB_TIME_MAX_MS UINT64_C(253402300799999) /* the end of the year 9999 */
#define JOB_ORIGINAL_MAX_BYTES 64

#define SERVICE_NONE UINT16_MAX /* a URL job that names no service */

struct job_target {
    enum target_kind kind;
    struct span bytes; /* empty for TARGET_ALL; points into the entry's fields */
};

#define JOB_STRING_BYTES 16u /* overhead in bytes counted for each name and each value */

/* The size of a job, for config_job_max_bytes. */
uint64_t job_bytes(const struct span *fields, size_t fields_count);

/* A decoded entry. The spans are lent: valid as long as the fields they were decoded from. */
struct job_spec {
    struct job_target *targets; /* owned by the decoder, reused by the next decode */
    uint32_t targets_count;
    uint16_t service; /* index in the account's services, or SERVICE_NONE */
    bool soft;
    uint64_t not_before_ms;   /* Unix; 0 = now */
    uint64_t expires_ms;      /* Unix; 0 = never */
    uint64_t repeat_after_ms; /* 0 = once */
    struct span ref;
    struct span original; /* id of the job this one continues (later, repeat); empty = itself */
};

/* An open hash set over the targets of the entry being decoded. A slot counts only when it carries
 * the mark of this entry, so nothing is cleared between two of them. */
struct job_slot {
    uint32_t mark;
    uint32_t target;
};

#define JOB_SERVICE_CACHE 256

struct job_decoder {
    struct job_target *targets;
    uint32_t room;
    uint32_t count;
    struct job_slot *slots;
    uint32_t slots_count; /* a power of two, or 0 */
    uint32_t mark;
    uint16_t service_cache[JOB_SERVICE_CACHE]; /* cached guesses, checked against the account each
                                                  time */
};

/* Whether these are the bytes of a job's id as producers are told it: "normal-1700000000000-0",
 * with
 * "+r" behind it for each repeat; the lane goes to *lane. Whatever comes back from Redis or from a
 * visitor as such an id is looked at here before anything is built from it. */
#define JOB_ID_ROOM 80 /* room for every accepted id, with a NUL */
bool job_id_ok(struct span id, enum lane *lane);

/* The same, and why not. Redis takes 1-02 for 1-2, so an id with leading zeros would find a job
 * whose id is another one. */
enum job_id_form {
    JOB_ID_NONE,   /* something else */
    JOB_ID_PADDED, /* an id but for its leading zeros: no job was ever given it */
    JOB_ID_PLAIN,
};
enum job_id_form job_id_form(struct span id, enum lane *lane);

/* The fields of a job; and the error message for an unknown field, with a suggestion. */
bool job_field_known(struct span name);
const char *job_unknown_field(struct span name, char *out, size_t room);

void job_decoder_init(struct job_decoder *d);
void job_decoder_deinit(struct job_decoder *d);

/* `fields` are name, value, name, value ... as Redis returns them. Unknown fields are refused: a
 * misspelt `not_befor` must not purge at once; only the dead_* fields of a dead letter that is
 * pushed again are ignored. `keys` and `url` may repeat, the others may not. Equal targets within
 * one job count once; before that there may be JOB_TARGETS_MAX of them. 0, or
 * -EINVAL with a sentence that starts with the field's name ("keys: byte 0x20 in key 3"). Service:
 * id or name from the configuration; an account without a `services` list takes none. */
must_use int job_decode(struct job_decoder *d, const struct config_account *account,
                        const struct span *fields, size_t fields_count, struct job_spec *out,
                        char *err, size_t err_room);
