/* SPDX-License-Identifier: MIT
 * Messages of a queue, from another application. Input: a byte that chooses between a job and
 * templates, a line that is a header's value, then the message. */
#include <errno.h>

#include "alloc.h"
#include "fuzz.h"
#include "job.h"
#include "message_map.h"
#include "setting.h"

static char service_id[] = "SU1Z0isxPaozGVKXdv0eY", empty[] = "", main_name[] = "main";
static struct config_service service = {service_id, empty};
static const struct config_account account = {
    .name = main_name, .services = &service, .services_count = 1, .default_service = empty};

static void set(struct config_consumer *c, const char *name, const char *value)
{
    struct error err;

    must(setting_set(setting_find(SETTING_CONSUMER, name), c, value, &err) == 0);
}

static struct message_map *new_map(bool is_job)
{
    struct config_consumer c;
    struct message_map *m;
    struct error err;

    config_consumer_init(&c);
    set(&c, "job", is_job ? "json" : "mapped");
    set(&c, "keys", "a-{id}, {tags[].name|slug}");
    set(&c, "urls", "https://www.example.com/{header:path|path}");
    set(&c, "when", "kind!=image");
    set(&c, "max_targets", "20");
    m = message_map_new(&c, &err);
    must(m);
    setting_free(SETTING_CONSUMER, &c);
    return m;
}

/* A mapped job is valid. One that came as JSON may name a service that there is not. */
static void check_job(const struct mapped_job *job, bool is_job)
{
    struct job_decoder decoder;
    struct job_spec spec;
    struct error err;
    int rc;

    must(job->count % 2 == 0 && job->lane < LANE_N);
    job_decoder_init(&decoder);
    rc = job_decode(&decoder, &account, job->fields, job->count, &spec, &err);
    must(is_job || (rc == 0 && spec.targets_count > 0 && spec.targets_count <= 20));
    job_decoder_deinit(&decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message_map *maps[2]; /* reused, like in the program */
    struct span text = span_of((const char *)data, size);
    struct source_header header = {.name = SPAN("path")};
    struct source_message message = {.headers = &header, .headers_count = 1};
    bool is_job = size && *data % 2;
    struct mapped_job job;
    struct error err = {""};
    int rc;

    if (size == 0)
        return 0;
    text = span_of(text.p + 1, text.n - 1);
    header.value = fuzz_line(&text);
    message.body = text;
    if (!maps[is_job])
        maps[is_job] = new_map(is_job);
    rc = message_map_apply(maps[is_job], &message, &job, &err);
    must(rc == 0 || rc == -ENOENT || rc == -EINVAL || rc == -E2BIG || rc == -EMSGSIZE);
    must((rc == 0) || *err.text);
    if (rc == 0)
        check_job(&job, is_job);
    return 0;
}
