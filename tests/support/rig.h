/* SPDX-License-Identifier: MIT
 * One account from end to end: a sandbox (shared by the tests of a program), a separate Redis for
 * each test, and up to three purgelines.
 *
 *     const struct CMUnitTest tests[] = {rig_test(a_key_is_purged)};
 *     return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
 *
 * There is only one rig at a time. If a test fails without closing its rig, the logs are shown and
 * it is cleaned up. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "await.h"
#include "instance.h"
#include "redis_server.h"
#include "requests.h"
#include "sandbox.h"

#define RIG_INSTANCES 3
#define NEWS "SU1Z0isxPaozGVKXdv0eY" /* the default service, named "news" */
#define SHOP "SU2Shop00000000000000" /* another service, named "shop" */

struct rig {
    struct sandbox *sandbox;
    struct redis_server *redis;
    struct requests requests; /* since the rig was opened */
    struct instance instances[RIG_INSTANCES];
    char folder[64];
    char *config;
};

/* `account` and `global` are lines of the configuration file to come after those that every rig has
 * ("    attempts: 2\n"); "" for none. Without `listen:` in `global` there is no HTTP. */
struct rig *rig_open(void **state, const char *account, const char *global);
void rig_configure(struct rig *r, const char *account, const char *global); /* again */
/* Stops all instances, which must exit with 0. */
void rig_close(struct rig *r);

int rig_group_setup(void **state);
int rig_group_teardown(void **state);
int rig_teardown(void **state);
#define rig_test(name) cmocka_unit_test_teardown(name, rig_teardown)

/* Starts instance n, also after it was stopped. With _leading, waits until it leads. */
struct instance *rig_start(struct rig *r, unsigned n);
struct instance *rig_start_leading(struct rig *r, unsigned n);
void rig_stop(struct rig *r, unsigned n); /* sends SIGTERM; it must exit with 0 */

struct job {
    char id[64]; /* the id in receipts: normal-1700000000000-0 */
    uint64_t ms; /* the time when Redis stored it */
};

/* Field, value, field, value ..., NULL. */
struct job rig_push(struct rig *r, const char *lane, ...) __attribute__((sentinel));
/* Pushes `count` jobs with one key each, "<prefix><from>" to "<prefix><from + count - 1>". */
void rig_push_keys(struct rig *r, const char *lane, const char *prefix, unsigned from,
                   unsigned count);

bool rig_is_empty(struct rig *r); /* no job is left or pending in the three streams */
void rig_await_empty(struct rig *r);
/* A member of the receipt ("purged", "dead" ...); "" if there is no receipt. Allocated with malloc.
 */
char *rig_receipt(struct rig *r, const struct job *j, const char *member);
void rig_assert_ended(struct rig *r, const struct job *j, const char *state);
void rig_await_ended(struct rig *r, const struct job *j, const char *state);
size_t rig_receipts(struct rig *r, const char *state); /* with this state; "": all */

size_t rig_dead_count(struct rig *r);
/* A field of the n-th dead letter; "" if there is none. Allocated with malloc. */
char *rig_dead(struct rig *r, size_t n, const char *field);

/* A number from the leader's status, which it publishes every second; -1 if there is none. */
long long rig_status(struct rig *r, const char *name);
void rig_dispatch_pause(struct rig *r, bool paused); /* sets the control hash in Redis */

#define rig_await(r, condition) await_until((r)->requests.inotify, AWAIT_PATIENCE_MS, condition)
