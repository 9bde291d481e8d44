/* SPDX-License-Identifier: MIT
 * Stream entries, which any producer can write. Input: a digit that chooses the account, then name
 * and value of each field, one per line. If the entry is accepted, it must be possible to build
 * requests from it. */
#include <errno.h>

#include "fastly_buffers.h"
#include "fuzz.h"
#include "job.h"

static struct config_service services[] = {{(char[]){"SU1Z0isxPaozGVKXdv0eY"}, (char[]){"news"}},
                                           {(char[]){"SU2Z0isxPaozGVKXdv0eY"}, (char[]){""}}};

static struct config_account accounts[] = {
    {.name = (char[]){"main"}, .services = services, .services_count = 1},
    {.name = (char[]){"two"}, .services = services, .services_count = 2, .allow_purge_all = true},
    {.name = (char[]){"urls"}},
};

static void check_target(const struct job_spec *s, const struct config_account *a, uint32_t at)
{
    const struct job_target *t = &s->targets[at];
    struct fastly_ask ask = {.kind = t->kind, .targets = &t->bytes};
    struct fastly_request request;

    for (uint32_t i = 0; i < at; i++)
        must(s->targets[i].kind != t->kind ||
             !target_same(t->kind, s->targets[i].bytes, t->bytes) ||
             (t->kind != TARGET_URL && s->targets[i].service != t->service));
    if (t->kind != TARGET_URL) {
        must(t->service < a->services_count);
        ask.service = span_str(a->services[t->service].id);
    }
    ask.targets_count = t->kind != TARGET_ALL;
    ask.soft = s->soft;
    fastly_request_init(&request);
    fastly_request_build(&request, "https://api.fastly.com", &ask);
    must(!memchr(request.url.p, '\n', request.url.n));
    fastly_request_deinit(&request);
}

static void check_spec(const struct job_spec *s, const struct config_account *a)
{
    must(s->targets_count >= 1 && s->targets_count <= JOB_TARGETS_MAX);
    must(s->service == SERVICE_NONE || s->service < a->services_count);
    must((s->service == SERVICE_NONE) == (s->services_count == 0));
    must(s->services_count <= min_u64(a->services_count, JOB_SERVICES_MAX));
    for (uint32_t i = 0; i < s->services_count; i++)
        must(s->services[i] < a->services_count &&
             (i == 0 || s->services[i] != s->services[i - 1]));
    must(s->ref.n <= JOB_REF_MAX_BYTES && s->original.n <= JOB_ORIGINAL_MAX_BYTES);
    must(s->repeat_after_ms <= JOB_REPEAT_MAX_MS);
    must(!s->expires_ms || s->expires_ms > s->not_before_ms);
    for (uint32_t i = 0; i < s->targets_count && i < 64; i++)
        check_target(s, a, i);
}

static void check_error(const char *err, size_t room)
{
    size_t n = strnlen(err, room);

    must(n > 0 && n < room);
    for (size_t i = 0; i < n; i++)
        must(err[i] >= 0x20 && err[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct job_decoder decoder; /* reused for all inputs, like in the program */
    static struct span fields[200];
    const struct config_account *account;
    struct span rest = span_of((const char *)data, size);
    struct job_spec spec = {.service = 4711};
    struct error err = {""};
    size_t n = 0;

    if (size == 0)
        return 0;
    account = &accounts[data[0] % array_len(accounts)];
    rest = span_of(rest.p + 1, rest.n - 1);
    while (rest.n && n < array_len(fields))
        fields[n++] = fuzz_line(&rest);
    n &= ~(size_t)1;
    if (job_decode(&decoder, account, fields, n, &spec, &err) == 0) {
        check_spec(&spec, account);
    } else {
        check_error(err.text, sizeof(err.text));
        must(spec.service == 4711);
    }
    return 0;
}
