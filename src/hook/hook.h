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
 * ...", "signature.value: ...". Nothing of c is kept. A condition is one of
 *
 *   path          leads to something other than null
 *   path=value    to this; value* is any that starts so; with [] in the path one element suffices
 *   path!=value   to nothing that is so
 *   header:name   the same of a header of the request: "header:x-github-event=push"
 *
 * texts, whole numbers, true and false can be compared. */
must_use struct hook *hook_new(const struct config_hook *c, char *err, size_t err_room);
void hook_free(struct hook *h);

/* What came out. Used again for the next request; the spans are valid until then, whatever becomes
 * of the hook. */
struct hook_job {
    struct span *fields; /* name, value, name, value ... as for job_decode and XADD */
    size_t fields_count; /* names and values, always even */
    uint32_t keys, urls; /* targets, equal ones once */
    uint32_t missing;    /* how often a template found nothing where its path leads */
    struct buf text;     /* the rest is the hook's */
    size_t fields_room;
    struct hook_target *targets;
    uint32_t targets_count, targets_room;
    uint32_t *slots;
    uint32_t slots_count;
};

void hook_job_init(struct hook_job *j);
void hook_job_deinit(struct hook_job *j);

/* 0; -ENOENT: the request is none of the hook's business, or names nothing to purge; -EINVAL: a
 * template gave what is no key or URL; -E2BIG: more than max_targets. Negative: with a sentence. */
must_use int hook_apply(const struct hook *h, const struct json_t *document,
                        const struct hook_request *request, struct hook_job *out, char *err,
                        size_t err_room);
