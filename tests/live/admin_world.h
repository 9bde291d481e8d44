/* SPDX-License-Identifier: MIT
 * A service with two accounts that is administered over HTTP, and its clients: operators and a
 * producer. */
#pragma once

#include "http.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "shell.h"

#define OPS "Authorization: Bearer ops-token"
#define CMS "Authorization: Bearer cms-token"
#define BOSS "Fastly-Key: boss-token"
#define DEAD "purgeline:{main}:dead"

/* ops may do everything; cms may only push keys of news; boss is an operator of one account. */
static const char producers[] = HTTP_LISTENS
    "producers:\n"
    "  - name: ops\n"
    "    token_sha256: d9310c002af91822beb0b3487d8b04f85bf6bf1f8a5496bff7d35fc7c5a29def\n"
    "    kinds: [url, key, all]\n"
    "    admin: true\n"
    "  - name: cms\n"
    "    token_sha256: 8d778b03db50d7b37c49218d15a038150fa6f880b31009e81b6252113779ed7e\n"
    "    accounts: [main]\n"
    "    services: [news]\n"
    "    kinds: [key]\n"
    "  - name: boss\n"
    "    token_sha256: 673e0b86626e1976dc1d5d4723c64674b0057b4f5b0f65f51758814a3d82c458\n"
    "    accounts: [other]\n"
    "    admin: true\n";

/* -- a service with two accounts, and its clients ------------------------------------------ */

/* The world of the current test. It is static, so that it can be closed after the test has failed.
 */
static struct world {
    struct rig *rig;
    struct http *http;
    struct shell shell;
} world;

/* `account`: more settings of main. */
static inline struct world *begin_with(void **state, const char *account)
{
    struct world *w = &world;
    char *other;

    w->rig = rig_open(state, "", producers);
    other = alloc_printf("%s"
                         "  - name: other\n"
                         "    api: %s\n"
                         "    ca_file: %s\n"
                         "    services: [{id: SU3Other0000000000000, name: other}]\n",
                         account, sandbox_api(w->rig->sandbox), sandbox_ca(w->rig->sandbox));
    rig_configure(w->rig, other, producers);
    free(other);
    shell_open(&w->shell);
    setenv("PURGELINE_CONFIG", w->rig->config, 1);
    w->http = http_serve(w->rig, 0);
    return w;
}

static inline struct world *begin(void **state)
{
    return begin_with(state, "");
}

static inline void clean_up(struct world *w)
{
    http_close(w->http);
    w->http = NULL;
    if (*w->shell.folder)
        shell_close(&w->shell);
    w->shell = (struct shell){0};
    unsetenv("PURGELINE_CONFIG");
}

static inline void end(struct world *w)
{
    clean_up(w);
    rig_close(w->rig);
}

static inline int teardown(void **state)
{
    clean_up(&world);
    return rig_teardown(state);
}

static inline json_t *printed(struct world *w, const char *line)
{
    json_t *j;

    shell_run(&w->shell, "%s", line);
    j = json_loads(w->shell.out, 0, NULL);
    if (!j)
        fail_msg("%s printed no JSON: %s%s", line, w->shell.out, w->shell.err);
    return j;
}

static inline json_t *at(json_t *j, const char *path)
{
    char *copy = alloc_str(path), *rest = copy, *name;

    while ((name = strsep(&rest, ".")))
        j = json_is_array(j) ? json_array_get(j, strtoul(name, NULL, 10))
                             : json_object_get(j, name);
    free(copy);
    if (!j)
        fail_msg("no %s", path);
    return j;
}

static inline long long number(json_t *j, const char *path)
{
    return json_integer_value(at(j, path));
}

static inline void bury(struct world *w, const char *key)
{
    redis_server_do(w->rig->redis,
                    "XADD " DEAD " * service " NEWS " keys %s dead_reason why dead_job "
                    "urgent-1700000000000-0 dead_at 1700000000000 dead_target %s",
                    key, key);
}

static inline size_t dead_count(struct world *w)
{
    return rig_dead_count(w->rig);
}

/* -- comparing JSON -------------------------------------------------------------------------- */

/* Whether a member changes with time: ages, and the dispatcher's own counters. */
static inline bool moves(const char *name)
{
    size_t n = strlen(name);

    return strcmp(name, "dispatcher") == 0 || strcmp(name, "at") == 0 ||
           (n > 3 && (strcmp(name + n - 3, "_ms") == 0 || strcmp(name + n - 3, "_at") == 0));
}

/* Checks that both have the same members with the same values. Values that change with time only
 * need the same type. */
static inline void assert_alike(json_t *ours, json_t *theirs, const char *where)
{
    const char *name;
    json_t *value;
    size_t i;

    if (json_typeof(ours) != json_typeof(theirs))
        fail_msg("%s: another kind of value", where);
    if (json_is_object(ours) && json_object_size(ours) != json_object_size(theirs))
        fail_msg("%s: other members", where);
    if (json_is_array(ours))
        assert_int_equal(json_array_size(ours), json_array_size(theirs));
    json_object_foreach(ours, name, value)
    {
        json_t *their = json_object_get(theirs, name);

        if (!their)
            fail_msg("%s.%s: only in one of them", where, name);
        if (!moves(name))
            assert_alike(value, their, name);
        else if (json_typeof(value) != json_typeof(their))
            fail_msg("%s.%s: another kind of value", where, name);
    }
    json_array_foreach(ours, i, value) assert_alike(value, json_array_get(theirs, i), where);
    if (!json_is_object(ours) && !json_is_array(ours) && !json_equal(ours, theirs))
        fail_msg("%s: another value", where);
}

static const struct {
    const char *method, *target, *body;
} admin_routes[] = {
    {"GET", "/v1/status", NULL},
    {"GET", "/v1/dead?account=main", NULL},
    {"POST", "/v1/dead/retry", "{\"account\":\"main\",\"all\":true}"},
    {"POST", "/v1/dead/drop", "{\"account\":\"main\",\"all\":true}"},
    {"POST", "/v1/pause", "{\"account\":\"main\"}"},
    {"POST", "/v1/resume", "{\"account\":\"main\"}"},
    {"POST", "/v1/plan?backlog=1&account=main", NULL},
};

#define T(name) cmocka_unit_test_teardown(name, teardown)
