/* SPDX-License-Identifier: MIT */
#include "torture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"
#include "play.h"

#define PATIENCE_S 120 /* the CPU time that one branch may take */
#define BRANCHES_MAX 64

static const enum fault ways[IO_N][FAULT_N] = {
    [IO_REDIS] = {FAULT_LOST_BEFORE, FAULT_LOST_AFTER, FAULT_KILL_BEFORE, FAULT_KILL_AFTER},
    [IO_FASTLY] = {FAULT_LOST_BEFORE, FAULT_LOST_AFTER, FAULT_KILL_BEFORE, FAULT_KILL_AFTER,
                   FAULT_UNSENT, FAULT_SILENT},
    [IO_API] = {FAULT_LOST_BEFORE, FAULT_LOST_AFTER},
};
static const char *const io_names[IO_N] = {
    [IO_REDIS] = "Redis", [IO_FASTLY] = "Fastly", [IO_API] = "Redis, from the endpoint"};

struct board { /* shared with the branches */
    uint32_t failed;
    char message[700];
};

struct branch {
    pid_t pid; /* 0: none runs in this place */
    uint64_t n;
    enum io io;
    enum fault fault;
};

/* The story is being played in this process: one at a time, as there is one world. */
static struct {
    const struct story *story;
    const struct torture_options *options;
    struct torture_result *out;
    struct board *board;
    struct branch branches[BRANCHES_MAX];
    uint32_t most, running;
    uint64_t operations; /* of the whole story; 0 = not counted */
    bool failed, is_branch;
} tt;

static void say(const struct branch *b, const char *what)
{
    if (tt.failed)
        return;
    tt.failed = true;
    snprintf(tt.out->message, sizeof(tt.out->message), "%s: operation %" PRIu64 " (to %s) %s:\n%s",
             tt.story->file, b->n, io_names[b->io], fault_names[b->fault], what);
}

/* Only the first that fails is heard; the others would drown it. */
static void on_failure(const char *message)
{
    if (__atomic_exchange_n(&tt.board->failed, 1, __ATOMIC_ACQ_REL))
        return;
    snprintf(tt.board->message, sizeof(tt.board->message), "%s", message);
    if (!tt.options->verbose)
        trace_dump();
}

static void judge(const struct branch *b, int status)
{
    if (WIFSIGNALED(status))
        say(b, strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 && tt.board->message[0])
        say(b, tt.board->message);
    else if (WEXITSTATUS(status) != 0)
        say(b, "the simulator broke off");
}

static void wait_for_one(void)
{
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
        ;
    must(pid > 0);
    for (uint32_t i = 0; i < tt.most; i++) {
        if (tt.branches[i].pid != pid)
            continue;
        tt.branches[i].pid = 0;
        tt.running--;
        judge(&tt.branches[i], status);
    }
}

/* True in the branch. */
static bool branch_off(uint64_t n, enum io io, enum fault fault)
{
    struct branch *b = tt.branches;

    if (tt.running == tt.most)
        wait_for_one();
    while (b->pid)
        b++;
    *b = (struct branch){.n = n, .io = io, .fault = fault, .pid = fork()};
    must(b->pid >= 0);
    if (b->pid == 0) {
        tt.is_branch = true;
        play_limit(PATIENCE_S);
        trace_live(tt.options->verbose);
        return true;
    }
    tt.running++;
    tt.out->plays++;
    return false;
}

/* n: counted from 1. */
static bool is_chosen(uint64_t n)
{
    uint64_t most = tt.options->most, first = most / 2;

    if (tt.options->only)
        return n == tt.options->only;
    if (!most || tt.operations <= most || n <= first)
        return true;
    return (n - first) * (most - first) / (tt.operations - first) !=
           (n - first - 1) * (most - first) / (tt.operations - first);
}

static enum fault on_operation(enum io io, uint64_t n)
{
    if (tt.is_branch || !is_chosen(n))
        return FAULT_NONE;
    for (int way = 0; way < FAULT_N && !tt.failed; way++) {
        enum fault fault = ways[io][way];
        bool kills = fault == FAULT_KILL_BEFORE || fault == FAULT_KILL_AFTER;

        if (fault == FAULT_NONE || (kills && tt.story->without_kills))
            continue;
        if (branch_off(n, io, fault))
            return fault;
    }
    if (tt.failed)
        engine_fail("a branch failed: nobody needs the others");
    return FAULT_NONE;
}

static void begin(const struct story *s, const struct torture_options *o,
                  struct torture_result *out)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    memset(&tt, 0, sizeof(tt));
    memset(out, 0, sizeof(*out));
    tt.story = s;
    tt.options = o;
    tt.out = out;
    tt.most = cores < 1 ? 1 : (uint32_t)min_u64((uint64_t)cores, BRANCHES_MAX);
    tt.board =
        mmap(NULL, sizeof(*tt.board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(tt.board != MAP_FAILED);
    fflush(NULL);
}

static uint64_t count_operations(const struct story *s)
{
    struct play_options play = {.how = PLAY_PROMISES_ONLY, .silent = true};
    struct play_result r;

    play_story(s, &play, &r);
    return r.operations;
}

static void on_over(bool passed)
{
    if (tt.is_branch)
        _exit(passed ? 0 : 1);
}

int torture_story(const struct story *s, const struct torture_options *o,
                  struct torture_result *out)
{
    struct play_options play = {
        .how = PLAY_PROMISES_ONLY, .failed = on_failure, .over = on_over, .branch = on_operation};
    struct play_result r;

    begin(s, o, out);
    if (o->most)
        tt.operations = count_operations(s);
    play_story(s, &play, &r);
    while (tt.running)
        wait_for_one();
    out->operations = r.operations;
    if (!r.passed && !tt.failed) {
        tt.failed = true;
        snprintf(out->message, sizeof(out->message), "%s", r.message);
    }
    munmap(tt.board, sizeof(*tt.board));
    return tt.failed ? -1 : 0;
}
