/* SPDX-License-Identifier: MIT
 * The compiled conditions and templates of a hook: they turn a webhook into the fields of a job,
 * ignore it, or refuse it. */
#pragma once

#include "buf.h"
#include "config.h"
#include "hook_request.h"

struct json_t;
struct hook;

#define HOOK_MAX_BYTES (4u << 20) /* all targets of one request */

/* NULL, with a sentence in err that starts with the setting: "keys[1]: byte 7: ...", "when[0]:
 * ...", "signature.value: ...". Keeps no pointers into c. A condition is one of
 *
 *   path          there is a value at the path, and it is not null
 *   path=value    the value is equal; "value*" matches every value with that beginning; if the
 *                 path has [], one matching element is enough
 *   path!=value   no value at the path matches
 *   header:name   the same for a header of the request: "header:x-github-event=push"
 *
 * Only strings, integers, true and false can be compared. */
must_use struct hook *hook_new(const struct config_hook *c, struct error *err);
void hook_free(struct hook *h);

/* The result of hook_apply, reused for the next request. The spans are valid until then, even if
 * the hook is freed. */
struct hook_job {
    struct span *fields; /* name, value, name, value ... as for job_decode and XADD */
    size_t fields_count; /* names and values, always even */
    uint32_t keys, urls; /* number of targets, duplicates counted once */
    uint32_t missing;    /* how often a template found no value at its path */
    struct buf text;     /* this and the following members are private to hook.c */
    size_t fields_room;
    struct hook_target *targets;
    uint32_t targets_count, targets_room;
    uint32_t *slots;
    uint32_t slots_count;
};

void hook_job_init(struct hook_job *j);
void hook_job_deinit(struct hook_job *j);

/* 0; -ENOENT: the conditions do not hold, or there is nothing to purge; -EINVAL: a template result
 * is not a valid key or URL; -E2BIG: more than max_targets. Errors come with a message. */
must_use int hook_apply(const struct hook *h, const struct json_t *document,
                        const struct hook_request *request, struct hook_job *out,
                        struct error *err);
