/* SPDX-License-Identifier: MIT */
#include "instance.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "await.h"

#define SHOWN_BYTES 6000

static const char *program(void)
{
    const char *bin = getenv("PURGELINE_BIN");

    must(bin); /* set by ctest */
    return bin;
}

static pid_t spawn(const char *const *args, const char *const *env, const char *log)
{
    pid_t pid = fork();
    int fd;

    must(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    must(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
    for (; env && *env; env++)
        putenv((char *)*env);
    execv(program(), (char **)args);
    perror(program());
    _exit(127);
}

void instance_start(struct instance *i, const char *config, const char *const *env, const char *log)
{
    const char *args[8] = {"purgeline", "run"};
    size_t n = 2;

    if (i->log_level) {
        args[n++] = "--log-level";
        args[n++] = i->log_level;
    }
    if (config) {
        args[n++] = "--config";
        args[n++] = config;
    }
    must(i->pid == 0);
    free(i->log);
    i->log = alloc_str(log);
    i->pid = spawn(args, env, log);
}

static int code_of(int status)
{
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int instance_command(const char *const *args, const char *const *env, const char *log)
{
    const char *argv[32] = {"purgeline"};
    size_t n = 1;
    int status;
    pid_t pid;

    while (*args && n < array_len(argv) - 1)
        argv[n++] = *args++;
    pid = spawn(argv, env, log);
    must(waitpid(pid, &status, 0) == pid);
    return code_of(status);
}

void instance_signal(struct instance *i, int signum)
{
    must(i->pid > 0);
    kill(i->pid, signum);
}

bool instance_has_ended(struct instance *i)
{
    int status;

    if (waitpid(i->pid, &status, WNOHANG) != i->pid)
        return false;
    i->pid = 0;
    i->code = code_of(status);
    return true;
}

int instance_wait(struct instance *i, uint64_t patience_ms)
{
    must(i->pid > 0);
    await_until(-1, patience_ms, instance_has_ended(i));
    return i->code;
}

void instance_kill(struct instance *i)
{
    int status;

    instance_signal(i, SIGKILL);
    must(waitpid(i->pid, &status, 0) == i->pid);
    i->pid = 0;
    i->code = code_of(status);
}

void instance_deinit(struct instance *i)
{
    if (i->pid > 0)
        instance_kill(i);
    free(i->log);
    i->log = NULL;
}

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    size_t n = 0, room = 0, got;
    char *text = NULL;

    if (!f)
        return alloc_str("");
    do {
        room += 65536;
        text = alloc_grow(text, room + 1, 1);
        got = fread(text + n, 1, room - n, f);
        n += got;
    } while (got > 0);
    text[n] = '\0';
    fclose(f);
    return text;
}

size_t instance_said(const struct instance *i, const char *text)
{
    char *all = read_all(i->log);
    size_t n = 0;

    for (const char *p = all; (p = strstr(p, text)); p += strlen(text))
        n++;
    free(all);
    return n;
}

void instance_await_said(const struct instance *i, const char *text, size_t times)
{
    struct await a = await_begin(text, -1, AWAIT_PATIENCE_MS);

    while (instance_said(i, text) < times)
        await_more(&a);
}

char *instance_said_last(const struct instance *i, const char *text, const char *name)
{
    char *all = read_all(i->log), *last = NULL, *value;

    for (char *p = all; (p = strstr(p, text)); p += strlen(text))
        last = p;
    must(last);
    value = strstr(last, name);
    must(value);
    value += strlen(name);
    value[strcspn(value, " \n")] = '\0';
    value = alloc_str(value);
    free(all);
    return value;
}

void instance_show(const struct instance *i)
{
    char *all = i->log ? read_all(i->log) : alloc_str("");
    size_t n = strlen(all);

    fprintf(stderr, "--- %s\n%s---\n", i->log ? i->log : "never started",
            n > SHOWN_BYTES ? all + n - SHOWN_BYTES : all);
    free(all);
}
