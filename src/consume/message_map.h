/* SPDX-License-Identifier: MIT
 * Turns a message into the fields of a job, as the configuration of its consumer says. */
#pragma once

#include "source.h"

#define MESSAGE_BODY_MAX_BYTES ((size_t)16 << 20)

struct message_map;

/* NULL, with a sentence in err that starts with the setting. Keeps no pointers into c. */
must_use struct message_map *message_map_new(const struct config_consumer *c, struct error *err);
void message_map_free(struct message_map *m); /* NULL is fine */

struct mapped_job {
    enum lane lane;
    const struct span *fields; /* as for job_decode; valid until the next call */
    size_t count;
};

/* 0; -ENOENT: there is nothing to purge, because the conditions do not hold or the templates find
 * nothing; -EINVAL, -E2BIG or -EMSGSIZE: the message cannot be understood. Errors come with a
 * sentence. The fields are not yet checked against the account.
 *
 * A CloudEvent in the structured mode whose data is to be a job: its `data` is the job.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md */
must_use int message_map_apply(struct message_map *m, const struct source_message *message,
                               struct mapped_job *out, struct error *err);
/* Adds to the fields that the consumer pushes the job, under the name "consumer <its name>". */
void message_map_sign(struct message_map *m, struct mapped_job *job);
struct span message_map_by(const struct message_map *m); /* this name */
