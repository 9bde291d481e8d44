/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "span.h"

struct child {
    uv_process_t process; /* must be first: freeing this handle frees the child */
    child_exit_cb *exited;
    void *ctx;
};

static void on_exit_event(uv_process_t *p, int64_t status, int signum)
{
    struct child *c = (struct child *)p;

    c->exited(c->ctx, (int)status, signum);
}

static void free_handle(uv_handle_t *h)
{
    free(h);
}

/* setpriv(1) sets the parent-death signal between fork and exec, because libuv has no hook there.
 * It is part of util-linux, which is essential on Debian. */
static const char **with_death_signal(const char *const argv[])
{
    static const char *const prefix[] = {"setpriv", "--pdeathsig", "TERM", "--"};
    size_t n = 0;
    const char **all;

    while (argv[n])
        n++;
    all = alloc_zeroed(array_len(prefix) + n + 1, sizeof(*all));
    memcpy(all, prefix, sizeof(prefix));
    memcpy(all + array_len(prefix), argv, n * sizeof(*all));
    return all;
}

static bool begins_with_one(const char *variable, const char *const words[])
{
    for (size_t i = 0; words && words[i]; i++)
        if (strncmp(variable, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

/* Passes on harmless variables, and those that begin with one of `more`. Our environment may
 * contain the API token; the child's environment can be read through /proc, and a Redis module
 * could send it anywhere. The strings belong to environ. */
static char **clean_environment(const char *const more[])
{
    static const char *const kept[] = {
        "PATH=", "HOME=", "LANG=", "LC_ALL=", "TZ=", "TMPDIR=", NULL};
    size_t n = 0;
    char **env;

    for (char **e = environ; *e; e++)
        n++;
    env = alloc_zeroed(n + 1, sizeof(*env));
    n = 0;
    for (char **e = environ; *e; e++)
        if (begins_with_one(*e, kept) || begins_with_one(*e, more))
            env[n++] = *e;
    return env;
}

struct child *child_start(struct loop *l, const char *const argv[], int keep_fd,
                          const char *const env[], child_exit_cb *exited, void *ctx, int *err)
{
    struct child *c = alloc_zeroed(1, sizeof(*c));
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = keep_fd},
    };
    const char **args = with_death_signal(argv);
    char **environment = clean_environment(env);
    /* The child gets its own session, so that a Ctrl-C in our terminal reaches only us. */
    uv_process_options_t o = {.flags = UV_PROCESS_DETACHED,
                              .exit_cb = on_exit_event,
                              .file = args[0],
                              .args = (char **)args,
                              .env = environment,
                              .stdio = stdio,
                              .stdio_count = keep_fd < 0 ? 3 : 4};

    c->exited = exited;
    c->ctx = ctx;
    *err = uv_spawn(loop_uv(l), &c->process, &o);
    free(args);
    free(environment);
    if (*err) {
        uv_close((uv_handle_t *)&c->process, free_handle);
        return NULL;
    }
    return c;
}

bool child_in_path(const char *program)
{
    const char *path = getenv("PATH");
    struct span rest = span_str(path ? path : "/usr/bin:/bin"), folder;
    bool found = false;

    while (!found && span_next_word(&rest, ':', &folder)) {
        char *file = alloc_printf("%.*s/%s", (int)folder.n, folder.p, program);

        found = access(file, X_OK) == 0;
        free(file);
    }
    return found;
}

void child_signal(struct child *c, int signum)
{
    uv_process_kill(&c->process, signum);
}

void child_close(struct child *c)
{
    if (c)
        uv_close((uv_handle_t *)&c->process, free_handle);
}

int child_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;

        close(fd);
        return err;
    }
    return fd;
}

bool child_socket_answers(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers;

    if (fd < 0 || strlen(path) >= sizeof(addr.sun_path)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    memcpy(addr.sun_path, path, strlen(path));
    answers = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    close(fd);
    return answers;
}
