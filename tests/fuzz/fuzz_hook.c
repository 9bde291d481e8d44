/* SPDX-License-Identifier: MIT
 * Hooks: templates and conditions from operators, documents and signatures from clients. Input, one
 * per line: a template for keys, one for URLs, a condition, a signature's `value` and `signs`, the
 * header that was sent; then the document. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "alloc.h"
#include "fuzz.h"
#include "hook.h"
#include "hook_auth.h"
#include "hook_signature.h"
#include "job.h"

#define WALL_MS UINT64_C(1756794994000)
#define TARGETS_MAX 40

static char service_id[] = "SU1Z0isxPaozGVKXdv0eY", empty[] = "", main_name[] = "main";
static char header[] = "x-signature", time_header[] = "x-time", headers_header[] = "x-signed";
static struct config_service service = {service_id, empty};
static const struct config_account account = {
    .name = main_name, .services = &service, .services_count = 1, .default_service = empty};

/* Every header has the value from the input. */
static bool find_header(void *context, const char *name, struct span *value)
{
    must(*name);
    *value = *(const struct span *)context;
    return true;
}

static void check_error(const char *err, size_t room)
{
    size_t n = strnlen(err, room);

    must(n > 0 && n < room);
    for (size_t i = 0; i < n; i++)
        must(err[i] >= 0x20 && err[i] < 0x7f);
}

/* The result is a valid job with the reported number of targets. */
static void check_job(const struct hook_job *job)
{
    struct job_decoder decoder;
    struct job_spec spec;
    struct error err;

    must(job->fields_count % 2 == 0 && job->keys + job->urls <= TARGETS_MAX);
    job_decoder_init(&decoder);
    must(job_decode(&decoder, &account, job->fields, job->fields_count, &spec, &err) == 0);
    must(spec.targets_count == job->keys + job->urls && spec.targets_count > 0);
    must(spec.soft && spec.repeat_after_ms == 1000);
    job_decoder_deinit(&decoder);
}

static void check_hook(const struct config_hook *c, struct span body, struct span sent)
{
    struct hook_request request = {SPAN("POST"), SPAN("/hooks/x"), body, find_header, &sent};
    static struct hook_job job; /* reused, like in the program */
    struct error err = {""};
    struct hook *h = hook_new(c, &err);
    json_t *document = json_loadb(body.p, body.n, JSON_DECODE_ANY, NULL);
    int e;

    if (!h)
        check_error(err.text, sizeof(err.text));
    if (h && document) {
        if (!job.text.max)
            hook_job_init(&job);
        e = hook_apply(h, document, &request, &job, &err);
        must(e == 0 || e == -ENOENT || e == -EINVAL || e == -E2BIG);
        if (e == 0)
            check_job(&job);
        else
            check_error(err.text, sizeof(err.text));
    }
    hook_free(h);
    json_decref(document);
}

static void check_signature(const struct config_signature *s, struct span body, struct span sent)
{
    struct hook_request request = {SPAN("POST"), SPAN("/hooks/x"), body, find_header, &sent};
    struct hook_signature parsed;
    struct error err = {""};

    if (hook_signature_check(s, &err) < 0) {
        check_error(err.text, sizeof(err.text));
        return;
    }
    if (hook_signature_parse(s, sent, &parsed) == 0) {
        must(parsed.digests_count > 0 && parsed.digests_count <= HOOK_DIGESTS_MAX);
        for (uint32_t i = 0; i < parsed.digests_count; i++)
            must(parsed.digests[i].p >= sent.p &&
                 parsed.digests[i].p + parsed.digests[i].n <= sent.p + sent.n);
    }
    /* The input cannot be signed with this secret. */
    must(hook_auth_check(s, SPAN("correct horse battery staple"), &request, WALL_MS, &err) ==
         -EACCES);
    check_error(err.text, sizeof(err.text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size), sent;
    char *lines[5];
    struct config_hook c;

    for (size_t i = 0; i < array_len(lines); i++) {
        struct span line = fuzz_line(&rest);

        lines[i] = alloc_copy(line.p, line.n);
    }
    sent = fuzz_line(&rest);
    c = (struct config_hook){
        .soft = true,
        .keys = {&lines[0], *lines[0] != '\0'},
        .urls = {&lines[1], *lines[1] != '\0'},
        .when = {&lines[2], *lines[2] != '\0'},
        .max_targets = TARGETS_MAX,
        .repeat_after_ms = 1000,
        .signature = {.scheme = HOOK_UNSIGNED},
    };
    check_hook(&c, rest, sent);
    for (int scheme = HOOK_HMAC_SHA256; scheme <= HOOK_TOKEN; scheme++) {
        struct config_signature s = {scheme,   size % 3,    header,         lines[3],
                                     lines[4], time_header, headers_header, size % 2 ? 300 : 0};

        check_signature(&s, rest, sent);
    }
    for (size_t i = 0; i < array_len(lines); i++)
        free(lines[i]);
    return 0;
}
