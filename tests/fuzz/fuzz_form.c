/* SPDX-License-Identifier: MIT
 * Lines of jobs in the format of `purgeline push -` and the bulk route: keys, a URL, or a JSON
 * object. The dispatcher must understand every accepted line, or refuse it with a sentence. Input:
 * lines. */
#include "alloc.h"
#include "fuzz.h"
#include "job.h"
#include "jobform.h"

static struct config_service services[] = {{(char[]){"SU1Z0isxPaozGVKXdv0eY"}, (char[]){"news"}}};
static struct config_account account = {.name = (char[]){"main"},
                                        .services = services,
                                        .services_count = 1,
                                        .default_service = (char[]){""},
                                        .allow_purge_all = true};

static void check_sentence(const char *err, size_t room)
{
    must(*err && strnlen(err, room) < room);
}

static void take_line(struct jobform *f, struct job_decoder *d, struct span line)
{
    bool json = line.n && line.p[0] == '{';
    const struct span *fields;
    struct job_spec spec;
    struct error err = {""};
    size_t count;
    int rc;

    jobform_clear(f, LANE_NORMAL);
    rc = json ? jobform_add_json(f, line, &err) : jobform_add_targets(f, JOBFORM_GUESS, line, &err);
    if (rc < 0) {
        check_sentence(err.text, sizeof(err.text));
        return;
    }
    fields = jobform_fields(f, &count);
    must(f->lane < LANE_N && count % 2 == 0);
    rc = job_decode(d, &account, fields, count, &spec, &err);
    if (rc < 0)
        check_sentence(err.text, sizeof(err.text));
    else
        must(spec.targets_count > 0 && spec.targets_count <= JOB_TARGETS_MAX);
    must(json || rc == 0); /* an accepted target that is not JSON is valid */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct job_decoder decoder;
    static struct jobform form;
    static bool ready;
    struct span rest = span_of((const char *)data, size);

    if (!ready) {
        jobform_init(&form, LANE_NORMAL);
        job_decoder_init(&decoder);
        ready = true;
    }
    form.takes_account = size % 2;
    while (rest.n)
        take_line(&form, &decoder, fuzz_line(&rest));
    return 0;
}
