/* SPDX-License-Identifier: MIT */
#include "repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "keys.h"
#include "page_guard.h"
#include "queue_internal.h"
#include "redis_error.h"
#include "scripts.h"

#define ASIDE_MAX_BYTES 240
#define BEYOND "281474976710656" /* 2^48: no clock gives such an id for 8,900 years */

static int examine(struct client *c, const char *account, struct queue_fault out[QUEUE_FAULTS_MAX],
                   size_t *count)
{
    struct span argv[3 + QUEUE_EXAMINED] = {SPAN("EVAL"), span_str(scripts[SCRIPT_EXAMINE].text)};
    char *keys[QUEUE_EXAMINED], number[8];
    struct redisReply *reply;
    int rc;

    snprintf(number, sizeof(number), "%d", QUEUE_EXAMINED);
    argv[2] = span_str(number);
    for (size_t i = 0; i < QUEUE_EXAMINED; i++) {
        keys[i] = redis_key(account, queue_examined_keys[i]);
        argv[3 + i] = span_str(keys[i]);
    }
    rc = client_ask(c, array_len(argv), argv, &reply);
    *count = rc == 0 ? queue_faults(reply, out) : 0;
    for (size_t i = 0; i < QUEUE_EXAMINED; i++)
        free(keys[i]);
    return rc;
}

/* -- identifying the key -- */

/* The part after "purgeline:{<account>}:". */
static const char *name_of(const struct queue_fault *f)
{
    const char *at = strstr(f->key, "}:");

    return at ? at + 2 : f->key;
}

#define JOBS "jobs:" /* followed by the lane */

static bool is_beyond(const struct queue_fault *f)
{
    return strncmp(name_of(f), JOBS, strlen(JOBS)) == 0 && strstr(f->what, "beyond any clock");
}

/* The lane of a fault for which is_beyond is true. */
static const char *lane_of(const struct queue_fault *f)
{
    return name_of(f) + strlen(JOBS);
}

/* True if setting this key aside loses what was spent in the ledger. */
static bool forgets(const struct queue_fault *f, enum ledger_kind l)
{
    const char *name = name_of(f);

    return strcmp(name, "budget") == 0 ||
           (strncmp(name, "spent:", 6) == 0 && strcmp(name + 6, ledger_names[l]) == 0);
}

static void name_aside(const struct queue_fault *f, char *out, size_t room)
{
    int before = (int)(name_of(f) - f->key);

    snprintf(out, room, "%.*sbroken:%s:%" PRIu64, before, f->key, name_of(f), clock_wall_ms());
}

/* -- lanes that were repaired in part -- */

#define SCANS_MAX 4000u /* of 5,000 keys each: an end, even if Redis answers nonsense */
#define IN_PART "was mended in part: jobs of it were set aside and are not pushed again"

static bool is_in_part(const struct queue_fault *f)
{
    return strncmp(name_of(f), JOBS, strlen(JOBS)) == 0 && strcmp(f->what, IN_PART) == 0;
}

/* Streams that were set aside and still hold jobs. A completed repair leaves them empty. */
struct asides {
    char **keys;
    size_t count, room;
};

static void asides_free(struct asides *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->keys[i]);
    free(s->keys);
}

static void asides_add(struct asides *s, struct span key)
{
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 8;
        s->keys = alloc_grow(s->keys, s->room, sizeof(*s->keys));
    }
    s->keys[s->count++] = alloc_copy(key.p, key.n);
}

/* Keeps only streams with jobs on the list. A key that was set aside because of its type stays
 * where it is. */
static int keep_with_jobs(struct client *c, struct asides *s)
{
    struct redisReply *reply;
    size_t kept = 0;
    int rc = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (rc == 0 || rc == -EIO)
            rc = client_ask_words(c, (const char *const[]){"XLEN", s->keys[i], NULL}, &reply);
        if (rc == 0 && reply_u64(reply) > 0)
            s->keys[kept++] = s->keys[i];
        else
            free(s->keys[i]);
    }
    s->count = kept;
    return rc == -EIO ? 0 : rc;
}

/* Finds none if Redis does not permit SCAN. */
static int find_asides(struct client *c, const char *account, struct asides *out)
{
    char *pattern = redis_key(account, "broken:" JOBS "*"), cursor[32] = "0";
    struct redisReply *reply;
    int rc = 0;

    *out = (struct asides){0};
    for (unsigned n = 0; n < SCANS_MAX; n++) {
        const struct redisReply *keys;

        rc = client_ask_words(
            c, (const char *const[]){"SCAN", cursor, "MATCH", pattern, "COUNT", "5000", NULL},
            &reply);
        if (rc < 0)
            break;
        keys = reply_at(reply, 1);
        for (size_t i = 0; i < reply_count(keys); i++)
            asides_add(out, reply_text(reply_at(keys, i)));
        reply_copy(reply_at(reply, 0), cursor, sizeof(cursor));
        if (strcmp(cursor, "0") == 0)
            break;
    }
    free(pattern);
    return rc < 0 && rc != -EIO ? rc : keep_with_jobs(c, out);
}

/* True for purgeline:{<account>}:broken:<name>:... */
static bool is_aside_of(const char *key, const char *name)
{
    const char *at = strstr(key, "}:broken:");
    size_t n = strlen(name);

    at = at ? at + strlen("}:broken:") : "";
    return strncmp(at, name, n) == 0 && at[n] == ':';
}

static void tell_lane(const char *account, const char *name, const struct asides *s,
                      struct queue_fault out[QUEUE_FAULTS_MAX], size_t *count)
{
    char *key = redis_key(account, name);
    bool told = *count == QUEUE_FAULTS_MAX, left = false;

    for (size_t i = 0; i < *count; i++)
        told |= is_beyond(&out[i]) && strcmp(out[i].key, key) == 0; /* that repair does both */
    for (size_t i = 0; i < s->count; i++)
        left |= is_aside_of(s->keys[i], name);
    if (left && !told) {
        snprintf(out[*count].key, sizeof(out[*count].key), "%s", key);
        snprintf(out[*count].what, sizeof(out[*count].what), "%s", IN_PART);
        ++*count;
    }
    free(key);
}

int repair_find(struct client *c, const char *account, struct queue_fault out[QUEUE_FAULTS_MAX],
                size_t *count)
{
    struct asides left = {0};
    int rc = examine(c, account, out, count);

    if (rc == 0)
        rc = find_asides(c, account, &left);
    for (int i = 0; rc == 0 && i < LANE_N; i++)
        tell_lane(account, queue_examined_keys[i], &left, out, count);
    asides_free(&left);
    return rc;
}

void repair_explain(const struct config_account *a, const struct queue_fault *f, char *out,
                    size_t room)
{
    static const struct {
        const char *name, *means;
    } meanings[] = {
        {"jobs:", "Jobs in it stay there; push them again if it holds any."},
        {"dead", "Letters in it stay there."},
        {"places", "The ids of jobs that are back in their lanes do not lead to them any more."},
        {"postponed", "Postponed jobs in it stay there; push them again if it holds any."},
        {"later", "Postponed jobs in it stay there; push them again if it holds any."},
        {"lease", "An instance takes the account over within a second."},
        {"control",
         "The account is not paused any more, if it was: pause it again if it should be."},
        {"reads", "Requests that have read Fastly's API within the last hour are not counted."},
        {"history", "What ended until now is not found any more; a new history begins."},
        {"cancelled", "Jobs that were cancelled within the last minute may be sent."},
    };
    const char *name = name_of(f), *means = "";

    for (size_t i = 0; i < array_len(meanings); i++)
        if (strncmp(name, meanings[i].name, strlen(meanings[i].name)) == 0)
            means = meanings[i].means;
    if (is_beyond(f))
        snprintf(
            out, room,
            "move its entries with such ids to purgeline:{%s}:broken:%s:<time>, set the lane's "
            "last id to now, and push these jobs again under new ids",
            a->name, name);
    else if (is_in_part(f))
        snprintf(out, room, "push what is left in purgeline:{%s}:broken:%s:<time> to it again",
                 a->name, name);
    else if (forgets(f, LEDGER_PURGE) || forgets(f, LEDGER_URL) || forgets(f, LEDGER_WRITE))
        snprintf(
            out, room,
            "rename it to purgeline:{%s}:broken:%s:<time>. What was spent is not known then, so "
            "the whole budget counts as spent: unless an instance that leads knows better, "
            "purges wait for one window (%u s)",
            a->name, name, a->budget.per_s);
    else
        snprintf(out, room, "rename it to purgeline:{%s}:broken:%s:<time>. %s", a->name, name,
                 means);
}

/* -- setting aside -- */

static int set_aside(struct client *c, const struct queue_fault *f, const char *aside)
{
    struct redisReply *reply;

    return client_ask_words(c, (const char *const[]){"RENAMENX", f->key, aside, NULL}, &reply);
}

static int book_all(struct client *c, const struct config_account *a, enum ledger_kind l)
{
    struct budget_limits limits = budget_limits_of(a, l);
    char units[24], what[32], *budget = redis_key(a->name, "budget"), *spent;
    struct redisReply *reply;
    int rc;

    snprintf(units, sizeof(units), "%" PRIu64, limits.units);
    snprintf(what, sizeof(what), "spent:%s", ledger_names[l]);
    spent = redis_key(a->name, what);
    rc = client_ask_words(c,
                          (const char *const[]){"EVAL", scripts[SCRIPT_BOOK_ALL].text, "2", budget,
                                                spent, units, NULL},
                          &reply);
    free(budget);
    free(spent);
    return rc;
}

/* If the ledger's stream is broken, too, its own fault repairs it; until then nothing can be booked
 * in it, and nothing spent. */
static int book_forgotten(struct client *c, const struct config_account *a,
                          const struct queue_fault *f)
{
    for (int l = 0; l < LEDGER_N; l++) {
        int rc = forgets(f, (enum ledger_kind)l) ? book_all(c, a, (enum ledger_kind)l) : 0;

        if (rc < 0 && redis_error_of(client_error(c)) != REDIS_ERROR_WRONGTYPE)
            return rc;
    }
    return 0;
}

/* -- ids beyond any clock -- */

/* XADD key * with the fields of an entry; `job` is the former id, under which the job continues. */
static int add_again(struct client *c, const char *key, const struct redisReply *fields,
                     const char *job)
{
    size_t n = reply_count(fields);
    struct span *argv = alloc_zeroed(n + 5, sizeof(*argv));
    struct redisReply *reply;
    char *copy;
    size_t argc = 3, bytes = 0;
    int rc;

    for (size_t i = 0; i < n; i++)
        bytes += reply_text(reply_at(fields, i)).n;
    copy = alloc_bytes(bytes + 1); /* the next command frees the reply */
    argv[0] = SPAN("XADD");
    argv[1] = span_str(key);
    argv[2] = SPAN("*");
    bytes = 0;
    for (size_t i = 0; i < n; i++) {
        struct span s = reply_text(reply_at(fields, i));

        memcpy(copy + bytes, s.p, s.n);
        argv[argc++] = span_of(copy + bytes, s.n);
        bytes += s.n;
    }
    if (job) {
        argv[argc++] = SPAN("job");
        argv[argc++] = span_str(job);
    }
    rc = client_ask(c, argc, argv, &reply);
    free(copy);
    free(argv);
    return rc;
}

static bool has_job(const struct redisReply *fields)
{
    for (size_t i = 0; i + 1 < reply_count(fields); i += 2)
        if (span_is(reply_text(reply_at(fields, i)), "job"))
            return true;
    return false;
}

/* Reads the first entry at or after `from`; its fields are lent until the next command. */
static int first_entry(struct client *c, const char *key, const char *from,
                       struct page_guard *guard, char id[48], const struct redisReply **fields)
{
    struct redisReply *reply;
    int rc = client_ask_words(
        c, (const char *const[]){"XRANGE", key, from, "+", "COUNT", "1", NULL}, &reply);

    if (rc == 0)
        rc = page_guard_check(guard, c, reply);
    *fields = rc == 0 ? reply_at(reply_at(reply, 0), 1) : NULL;
    if (*fields)
        snprintf(id, 48, "%s", reply_text(reply_at(reply_at(reply, 0), 0)).p);
    return rc;
}

/* Moves entries with impossible ids. Each is written to the new place before it is deleted at the
 * old one, so an interruption leaves an entry twice. */
static int move_beyond(struct client *c, const struct queue_fault *f, const char *aside)
{
    const struct redisReply *fields;
    struct page_guard guard;
    char id[48], *job;
    int rc = page_guard_begin(&guard, c, f->key);

    while (rc == 0 && (rc = first_entry(c, f->key, BEYOND, &guard, id, &fields)) == 0 && fields) {
        struct redisReply *reply;

        job = alloc_printf("%s-%s", lane_of(f), id);
        rc = add_again(c, aside, fields, has_job(fields) ? NULL : job);
        free(job);
        if (rc == 0)
            rc = client_ask_words(c, (const char *const[]){"XDEL", f->key, id, NULL}, &reply);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* Pushes each entry to the lane again, under a new id and with its former id as the job. An
 * interruption leaves one entry twice; the next call continues with the rest. */
static int push_again(struct client *c, const struct queue_fault *f, const char *aside)
{
    const struct redisReply *fields;
    struct page_guard guard;
    char id[48], *job;
    int rc = page_guard_begin(&guard, c, aside);

    while (rc == 0 && (rc = first_entry(c, aside, "-", &guard, id, &fields)) == 0 && fields) {
        struct redisReply *reply;

        job = alloc_printf("%s-%s", lane_of(f), id);
        rc = add_again(c, f->key, fields, has_job(fields) ? NULL : job);
        free(job);
        if (rc == 0)
            rc = client_ask_words(c, (const char *const[]){"XDEL", aside, id, NULL}, &reply);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int lower_last_id(struct client *c, const char *lane)
{
    struct redisReply *reply;

    return client_ask_words(
        c, (const char *const[]){"EVAL", scripts[SCRIPT_LOWER_LAST_ID].text, "1", lane, NULL},
        &reply);
}

static int push_all_again(struct client *c, const struct config_account *a,
                          const struct queue_fault *f)
{
    struct asides left;
    int rc = find_asides(c, a->name, &left);

    for (size_t i = 0; rc == 0 && i < left.count; i++)
        if (is_aside_of(left.keys[i], name_of(f)))
            rc = push_again(c, f, left.keys[i]);
    asides_free(&left);
    return rc;
}

/* Since some 7.x version, Redis lowers a last id no further than to the highest id that was ever
 * deleted. In that case the lane is renamed, and what is left in it is pushed to a new one. */
static int mend_lane(struct client *c, const struct config_account *a, const struct queue_fault *f,
                     const char *aside)
{
    char *rest = alloc_printf("%s:rest", aside);
    int rc = move_beyond(c, f, aside);

    if (rc == 0)
        rc = lower_last_id(c, f->key);
    if (rc == -EIO && strstr(client_error(c), "max_deleted_entry_id"))
        rc = set_aside(c, f, rest);
    if (rc == 0)
        rc = push_again(c, f, aside);
    if (rc == 0)
        rc = push_again(c, f, rest);
    free(rest);
    return rc == 0 ? push_all_again(c, a, f) : rc; /* also what an interrupted call left */
}

int repair_mend(struct client *c, const struct config_account *a, const struct queue_fault *f)
{
    char aside[ASIDE_MAX_BYTES];
    int rc;

    name_aside(f, aside, sizeof(aside));
    if (is_beyond(f) || is_in_part(f))
        return mend_lane(c, a, f, aside);
    rc = set_aside(c, f, aside);
    return rc == 0 ? book_forgotten(c, a, f) : rc;
}
