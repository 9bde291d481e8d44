/* SPDX-License-Identifier: MIT */
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeio_internal.h"
#include "map.h"
#include "redis_error.h"
#include "scripts.h"

#define FAULTS_MAX 16

struct fault {
    const char *name, *words;
    enum fakeio_fault what;
};

static struct fakeredis *server;
static struct fault faults[FAULTS_MAX];
static size_t faults_count;
static const char *lie_name; /* NULL: no lies */
static fakeio_lie_cb *lie;
static struct map counts;  /* number of commands, by name */
static struct map digests; /* digest of each loaded script, to its name */

void fakeio_serve(struct fakeredis *f)
{
    server = f;
}

struct fakeredis *fakeio_server(void)
{
    return server;
}

void fakeio_fail_next(const char *name, enum fakeio_fault what, const char *words)
{
    must(faults_count < FAULTS_MAX && (what == FAKEIO_REFUSED) == (words != NULL));
    faults[faults_count++] = (struct fault){name, words, what};
}

void fakeio_lie(const char *name, fakeio_lie_cb *cb)
{
    lie_name = name;
    lie = cb;
}

size_t fakeio_pending(void)
{
    return faults_count;
}

void fakeio_forget(void)
{
    faults_count = 0;
    lie_name = NULL;
    map_deinit(&counts);
}

size_t fakeio_count(const char *name)
{
    return (size_t)(uintptr_t)map_get(&counts, span_str(name));
}

/* -- the names of commands -- */

static const char *name_of_text(struct span text)
{
    for (int i = 0; i < SCRIPT_N; i++)
        if (span_is(text, scripts[i].text))
            return scripts[i].name;
    return "an unknown script";
}

void fakeio_learn(size_t argc, const struct span *argv, const struct buf *out)
{
    if (argc == 3 && span_is(argv[0], "SCRIPT") && span_is(argv[1], "LOAD") && out->n > 45 &&
        !map_get(&digests, span_of(out->p + 5, 40)))
        map_put(&digests, span_of(out->p + 5, 40), (void *)name_of_text(argv[2]));
}

const char *fakeio_script(size_t argc, const struct span *argv)
{
    const char *name = NULL;

    if (argc > 1 && span_is(argv[0], "EVAL"))
        return name_of_text(argv[1]);
    if (argc > 1 && span_is(argv[0], "EVALSHA"))
        name = map_get(&digests, argv[1]);
    return name ? name : "";
}

static void count(struct span name)
{
    size_t n = (size_t)(uintptr_t)map_get(&counts, name) + 1;

    map_put(&counts, name, (void *)(uintptr_t)n);
}

/* -- executing commands -- */

static bool take_fault(struct span command, const char *script, struct fault *out)
{
    for (size_t i = 0; i < faults_count; i++) {
        if (!span_is(command, faults[i].name) && strcmp(script, faults[i].name) != 0)
            continue;
        *out = faults[i];
        memmove(faults + i, faults + i + 1, (--faults_count - i) * sizeof(*faults));
        return true;
    }
    return false;
}

bool fakeio_run(struct fakeredis_session *s, size_t argc, const struct span *argv, struct buf *out)
{
    const char *script = fakeio_script(argc, argv);
    struct fault f;
    bool fails = take_fault(argv[0], script, &f);

    count(argv[0]);
    if (*script)
        count(span_str(script));
    if (fails && f.what == FAKEIO_LOST_BEFORE)
        return false;
    if (fails && f.what == FAKEIO_REFUSED) {
        buf_printf(out, "-%s\r\n", f.words);
        return true;
    }
    if (lie_name && span_is(argv[0], lie_name)) {
        lie(argc, argv, out);
        return true;
    }
    fakeredis_run(s, argc, argv, out);
    fakeio_learn(argc, argv, out);
    return !fails;
}

struct redisReply *fakeio_reply(const struct buf *answer)
{
    static redisReader *reader; /* one for all: an answer is always whole */
    void *reply = NULL;

    if (!reader)
        reader = redisReaderCreate();
    must(reader && redisReaderFeed(reader, answer->p, answer->n) == REDIS_OK);
    must(redisReaderGetReply(reader, &reply) == REDIS_OK && reply);
    return reply;
}

bool fakeio_is_unfit(const char *refusal)
{
    return redis_error_is_unfit(redis_error_of(refusal));
}
