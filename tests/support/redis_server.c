/* SPDX-License-Identifier: MIT */
#include "redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "base.h"
#include "clock.h"
#include "free_port.h"

struct redis_server {
    char folder[64];
    char *url, *unix_url, *socket;
    char port_text[8];
    unsigned port;
    const char *option, *value;
    pid_t pid;
    redisContext *c;
};

static void run_server(const struct redis_server *s)
{
    const char *argv[] = {"redis-server",
                          "--bind",
                          "127.0.0.1",
                          "--port",
                          s->port_text,
                          "--unixsocket",
                          s->socket,
                          "--dir",
                          s->folder,
                          "--appendonly",
                          "yes",
                          "--appendfsync",
                          "always",
                          "--save",
                          "",
                          "--maxmemory-policy",
                          "noeviction",
                          "--logfile",
                          "redis.log",
                          s->option,
                          s->value,
                          NULL};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char **)argv);
    perror("redis-server");
    _exit(127);
}

static bool answers(struct redis_server *s)
{
    redisReply *r;
    bool ok;

    s->c = redisConnectUnix(s->socket);
    must(s->c);
    r = s->c->err ? NULL : redisCommand(s->c, "PING");
    ok = r && r->type == REDIS_REPLY_STATUS;
    if (r)
        freeReplyObject(r);
    if (ok)
        return true;
    redisFree(s->c);
    s->c = NULL;
    return false;
}

static void choose_port(struct redis_server *s)
{
    s->port = free_port();
    snprintf(s->port_text, sizeof(s->port_text), "%u", s->port);
    free(s->url);
    s->url = alloc_printf("redis://127.0.0.1:%u", s->port);
}

static void fork_server(struct redis_server *s)
{
    s->pid = fork();
    must(s->pid >= 0);
    if (s->pid == 0)
        run_server(s);
}

/* If another test took the port after it was found free, Redis exits at once. A new server, whose
 * port nobody knows yet, then gets another port. */
static void await_answer(struct redis_server *s, bool is_new)
{
    uint64_t until = clock_mono_ns() + 120 * NS_PER_S;

    while (!answers(s)) {
        must(clock_mono_ns() < until);
        usleep(2000); /* a server that is starting causes no event */
        if (waitpid(s->pid, NULL, WNOHANG) != s->pid)
            continue;
        if (is_new)
            choose_port(s);
        fork_server(s);
    }
}

void redis_server_restart(struct redis_server *s)
{
    must(!s->pid);
    fork_server(s);
    await_answer(s, false);
}

struct redis_server *redis_server_start(const char *option, const char *value)
{
    struct redis_server *s = alloc_zeroed(1, sizeof(*s));

    snprintf(s->folder, sizeof(s->folder), "/tmp/purgeline-test-XXXXXX");
    must(mkdtemp(s->folder));
    choose_port(s);
    s->socket = alloc_printf("%s/redis.sock", s->folder);
    s->unix_url = alloc_printf("unix://%s", s->socket);
    s->option = option;
    s->value = value;
    fork_server(s);
    await_answer(s, true);
    return s;
}

void redis_server_kill(struct redis_server *s)
{
    must(s->pid > 0);
    kill(s->pid, SIGKILL);
    must(waitpid(s->pid, NULL, 0) == s->pid);
    s->pid = 0;
    if (s->c)
        redisFree(s->c);
    s->c = NULL;
}

void redis_server_stop(struct redis_server *s)
{
    char *command;

    if (!s)
        return;
    if (s->pid)
        redis_server_kill(s);
    /* A child that rewrites the append-only file outlives its server for a moment, and writes. */
    command = alloc_printf("rm -rf '%s'", s->folder);
    for (int tries = 1; system(command) != 0; tries++) {
        must(tries < 600);
        usleep(100000);
    }
    free(command);
    free(s->url);
    free(s->unix_url);
    free(s->socket);
    free(s);
}

const char *redis_server_url(const struct redis_server *s)
{
    return s->url;
}

const char *redis_server_unix_url(const struct redis_server *s)
{
    return s->unix_url;
}

unsigned redis_server_port(const struct redis_server *s)
{
    return s->port;
}

pid_t redis_server_pid(const struct redis_server *s)
{
    return s->pid;
}

const char *redis_server_folder(const struct redis_server *s)
{
    return s->folder;
}

static redisReply *ask(struct redis_server *s, const char *fmt, va_list ap)
{
    redisReply *r = redisvCommand(s->c, fmt, ap);

    if (!r)
        fprintf(stderr, "redis-server: %s\n", s->c->errstr);
    must(r);
    return r;
}

static void no_error(const redisReply *r, const char *fmt)
{
    if (r->type == REDIS_REPLY_ERROR)
        fprintf(stderr, "%s: %s\n", fmt, r->str);
    must(r->type != REDIS_REPLY_ERROR);
}

struct redisReply *redis_server_try(struct redis_server *s, const char *fmt, ...)
{
    va_list ap;
    redisReply *r;

    va_start(ap, fmt);
    r = ask(s, fmt, ap);
    va_end(ap);
    return r;
}

void redis_server_do(struct redis_server *s, const char *fmt, ...)
{
    va_list ap;
    redisReply *r;

    va_start(ap, fmt);
    r = ask(s, fmt, ap);
    va_end(ap);
    no_error(r, fmt);
    freeReplyObject(r);
}

long long redis_server_int(struct redis_server *s, const char *fmt, ...)
{
    va_list ap;
    redisReply *r;
    long long n;

    va_start(ap, fmt);
    r = ask(s, fmt, ap);
    va_end(ap);
    no_error(r, fmt);
    must(r->type == REDIS_REPLY_INTEGER);
    n = r->integer;
    freeReplyObject(r);
    return n;
}

char *redis_server_str(struct redis_server *s, const char *fmt, ...)
{
    va_list ap;
    redisReply *r;
    char *out;

    va_start(ap, fmt);
    r = ask(s, fmt, ap);
    va_end(ap);
    no_error(r, fmt);
    out = r->str ? alloc_copy(r->str, (size_t)r->len) : alloc_str("");
    freeReplyObject(r);
    return out;
}

void redis_server_login(struct redis_server *s, const char *password)
{
    redis_server_do(s, "AUTH %s", password);
}

void redis_server_assert_counts(struct redis_server *s, const char *stream, int count)
{
    redisReply *r = redis_server_try(s, "XRANGE %s - +", stream);
    int next = 1;

    for (size_t i = 0; i < r->elements; i++) {
        int key = atoi(r->element[i]->element[1]->element[1]->str);

        must(key <= next);
        next += key == next;
    }
    must(next == count + 1);
    freeReplyObject(r);
}
