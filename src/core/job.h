/* SPDX-License-Identifier: MIT
 * A job of a producer: decodes the fields of a stream entry into checked targets, and names the
 * field that is invalid. */
#pragma once

#include "config.h"
#include "job_by.h"
#include "repeat.h"
#include "span.h"
#include "target.h"

#define JOB_TARGETS_MAX 10000
#define JOB_SERVICES_MAX 64
#define JOB_REF_MAX_BYTES 256
#define JOB_REPEAT_MAX_MS (24u * 3600u * 1000u)
#define JOB_TIME_MAX_MS UINT64_C(253402300799999) /* the end of the year 9999 */
#define JOB_ORIGINAL_MAX_BYTES 64

#define SERVICE_NONE 2047 /* a URL job that names no service; fits into struct pending */

struct when;
struct verify_page;

struct job_target {
    enum target_kind kind;
    uint16_t service;  /* index in the account's services; of a URL: as job_spec.service */
    struct span bytes; /* empty for TARGET_ALL; points into the entry's fields */
};

#define JOB_STRING_BYTES 16u /* overhead in bytes counted for each name and each value */

/* The size of a job, for config_job_max_bytes. */
uint64_t job_bytes(const struct span *fields, size_t fields_count);

/* A decoded entry. The spans are valid as long as the fields they were decoded from. */
struct job_spec {
    struct job_target *targets; /* owned by the decoder, reused by the next decode */
    uint32_t targets_count;
    const uint16_t *services; /* those that the job is for, each once; owned like the targets */
    const struct span
        *service_names;      /* how the entry names them; one that it does not name: empty */
    uint32_t services_count; /* 0 for URLs without a service */
    uint16_t service;        /* the first of them, or SERVICE_NONE */
    bool soft;
    bool verify;              /* look at pages after the purge: those of the URLs, or ... */
    uint64_t not_before_ms;   /* Unix; 0 = now */
    uint64_t expires_ms;      /* Unix; 0 = never */
    uint64_t repeat_after_ms; /* 0 = once */
    bool repeat_auto;         /* repeated after a time that is learnt; repeat_after_ms is 0 */
    struct span ref;
    struct span by;          /* who pushed it; empty: not known */
    const struct when *when; /* asked before it is sent: core/when.h; owned like the targets; NULL:
                                nothing is */
    const struct verify_page *page; /* ... this one: core/verify_page.h; owned like the targets;
                                       NULL: those of the URLs */
    struct span original; /* id of the job this one continues (later, repeat); empty = itself */
};

/* A hash set with open addressing over the targets of the entry being decoded. A slot is in use
 * only if it has the mark of this entry, so the set need not be cleared between entries. */
struct job_slot {
    uint32_t mark;
    uint32_t target;
};

#define JOB_SERVICE_CACHE 256

struct job_decoder {
    struct job_target *targets;
    uint32_t room;
    uint32_t count;
    uint16_t services[JOB_SERVICES_MAX];
    struct span service_names[JOB_SERVICES_MAX];
    struct job_slot *slots;
    uint32_t slots_count; /* a power of two, or 0 */
    uint32_t mark;
    struct when *when;        /* of the entry being decoded; NULL: none had one yet */
    struct verify_page *page; /* the same */
    uint16_t service_cache[JOB_SERVICE_CACHE]; /* cached guesses, checked against the account each
                                                  time */
};

/* It has no ref, original id, repeat or verify: its entry need not be looked at when it ends,
 * unless the window does not know who pushed it. */
bool job_is_plain(const struct job_spec *spec);

/* Whether `id` is a valid job id as returned to producers: "normal-1700000000000-0", followed by
 * "+r" for each repeat. Sets *lane. Every id that comes from Redis or a client must be checked here
 * before it is used. */
#define JOB_ID_ROOM 80 /* room for every accepted id, with a NUL */
bool job_id_ok(struct span id, enum lane *lane);

/* The same check with the reason for a refusal. Redis reads 1-02 as 1-2, so an id with leading
 * zeros would find a job that has a different id. */
enum job_id_form {
    JOB_ID_NONE,   /* something else */
    JOB_ID_PADDED, /* an id except for leading zeros; no job has such an id */
    JOB_ID_PLAIN,
};
enum job_id_form job_id_form(struct span id, enum lane *lane);

bool job_field_known(struct span name);
/* Returns -EINVAL with the error message for an unknown field, which suggests a known one. */
int job_unknown_field(struct span name, struct error *err);

void job_decoder_init(struct job_decoder *d);
void job_decoder_deinit(struct job_decoder *d);

/* Decodes `fields`: name, value, name, value ... as Redis returns them. Unknown fields are refused,
 * so that a misspelt `not_befor` does not purge at once; only the dead_* fields of a dead letter
 * that is pushed again are ignored, except JOB_FIELD_BY, which is taken for `by` if it would be
 * valid and there is no `by`. `keys`, `url` and `service` may repeat, the others may not. A
 * job that names several services has each of its keys, and `all`, once for each of them; a URL is
 * the same target for all services. Duplicate targets within one job count once, but toward the
 * limit JOB_TARGETS_MAX each of them counts. 0, or -EINVAL with a sentence that starts with the
 * field's name ("keys: byte 0x20 in key 3"). A service is an id or a name from the configuration;
 * an account without a `services` list accepts none. */
must_use int job_decode(struct job_decoder *d, const struct config_account *account,
                        const struct span *fields, size_t fields_count, struct job_spec *out,
                        struct error *err);
