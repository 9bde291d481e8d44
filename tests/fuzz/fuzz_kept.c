/* SPDX-License-Identifier: MIT
 * Data in Redis that is shown to users, and that others can write, too: `status`, `control`, the
 * lease, dead letters, and what consumers tell (the status, too). Input: the leader, the reason of
 * a pause and who paused, one per line; then the status; after a line "--" the fields of a dead
 * letter, one per line. The result must be valid JSON. */
#include <jansson.h>
#include <stdlib.h>

#include "alloc.h"
#include "deadletter_json.h"
#include "fuzz.h"
#include "json_text.h"
#include "overview_json.h"

static struct config_account account = {.name = (char[]){"main"}};

static char *own(struct span s)
{
    return alloc_copy(s.p, s.n);
}

static void check(json_t *j)
{
    char *line = json_text_line(j);
    json_t *again = json_loads(line, JSON_ALLOW_NUL, NULL);

    must(again && json_equal(j, again));
    json_decref(again);
    json_decref(j);
    free(line);
}

static void check_overview(struct span *rest, struct span status)
{
    struct overview o = {.paused = true};

    o.leader = own(fuzz_line(rest));
    o.paused_why = own(fuzz_line(rest));
    o.paused_by = own(fuzz_line(rest));
    o.status = own(status);
    overview_take_status(&o, status);
    consumer_states_add(&o.consumers, span_str(o.leader), status, UINT64_C(1700000000000));
    consumer_states_add(&o.consumers, SPAN("articles/host"), status, UINT64_C(1700000000000));
    check(overview_json(&account, &o));
    overview_deinit(&o);
}

#define FIELDS_MAX 32

static void check_letter(struct span rest)
{
    struct span fields[FIELDS_MAX];
    struct deadletter l = {.id = SPAN("1-1"), .fields = fields};
    size_t count = 0;

    for (; rest.n && count < FIELDS_MAX; count++) {
        struct span s = fuzz_line(&rest);

        fields[count] = span_of(own(s), s.n);
        l.job = l.reason;
        l.reason = l.target;
        l.target = s;
    }
    l.fields_count = count / 2 * 2;
    check(deadletter_json(&l));
    while (count > 0)
        free((void *)fields[--count].p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size), letter = SPAN(""), status;
    const char *cut = size ? memmem(data, size, "\n--\n", 4) : NULL;

    if (cut) {
        rest.n = (size_t)(cut - rest.p);
        letter = span_of(cut + 4, size - rest.n - 4);
    }
    status = rest;
    for (int i = 0; i < 3; i++)
        (void)fuzz_line(&status);
    check_overview(&rest, status);
    check_letter(letter);
    return 0;
}
