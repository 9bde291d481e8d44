/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#define LARGE_BLOCK_BYTES (256 * 1024)

/* Reads the first line of a small file; "" if it cannot be read. */
static void read_line(const char *path, char *out, size_t room)
{
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        n = read(fd, out, room - 1);
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static void pid_namespace(char *out, size_t room)
{
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);

    link[n > 0 ? n : 0] = '\0';
    snprintf(out, room, "%.*s", (int)strspn(link + strcspn(link, "0123456789"), "0123456789"),
             link + strcspn(link, "0123456789"));
}

/* The start time of a process: field 22 of /proc/<pid>/stat, in clock ticks since boot. 0 if it
 * cannot be read or only a zombie is left (proc(5)). */
static unsigned long long start_time(long pid, bool *zombie)
{
    char path[64], line[1024], *p;
    unsigned long long start = 0;
    char state = '?';

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    read_line(path, line, sizeof(line));
    p = strrchr(line, ')'); /* the name in parentheses may contain anything */
    if (p)
        sscanf(p + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &start);
    *zombie = state == 'Z' || state == 'X';
    return start;
}

struct identity {
    char host[65], boot[40], pidns[24];
    long pid;
    unsigned long long start;
};

static void own(struct identity *id)
{
    bool zombie;

    memset(id, 0, sizeof(*id));
    if (gethostname(id->host, sizeof(id->host) - 1) < 0 || !id->host[0])
        snprintf(id->host, sizeof(id->host), "unknown");
    for (char *p = id->host; *p; p++)
        if (*p == '/' || *p <= ' ')
            *p = '_';
    read_line("/proc/sys/kernel/random/boot_id", id->boot, sizeof(id->boot));
    pid_namespace(id->pidns, sizeof(id->pidns));
    id->pid = (long)getpid();
    id->start = start_time(id->pid, &zombie);
}

void process_identity(char out[PROCESS_IDENTITY_MAX])
{
    struct identity me;
    int n;

    own(&me);
    n = snprintf(out, PROCESS_IDENTITY_MAX, "%.40s/%s/%s/%ld/%llu/%08llx", me.host, me.boot,
                 me.pidns, me.pid, me.start, (unsigned long long)process_random() & 0xffffffffu);
    must(n > 0 && n < PROCESS_IDENTITY_MAX);
}

bool process_is_dead(const char *identity)
{
    struct identity me, other;
    unsigned long long start;
    bool zombie;

    memset(&other, 0, sizeof(other));
    if (sscanf(identity, "%64[^/]/%39[^/]/%23[^/]/%ld/%llu/", other.host, other.boot, other.pidns,
               &other.pid, &other.start) != 5)
        return false;
    own(&me);
    if (!me.boot[0] || !me.pidns[0] || strcmp(me.boot, other.boot) != 0 ||
        strcmp(me.pidns, other.pidns) != 0)
        return false;
    if (kill((pid_t)other.pid, 0) < 0 && errno == ESRCH)
        return true;
    start = start_time(other.pid, &zombie); /* 0: hidden from us, so we cannot be certain */
    return zombie || (start && start != other.start);
}

void process_harden(void)
{
    struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak checker must be able to attach */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* Without this, glibc raises its threshold when the first large block is freed and then keeps later
 * blocks: mallopt(3), M_MMAP_THRESHOLD. */
void process_return_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
}

uint64_t process_raise_files(void)
{
    struct rlimit r = {0, 0};

    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0) /* rare: the kernel's own limit is lower */
        must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    return r.rlim_cur;
}

int process_spare_files(uint32_t count)
{
    int files[64], rc = 0;
    uint32_t n = 0;

    while (rc == 0 && n < count && n < array_len(files)) {
        files[n] = eventfd(0, EFD_CLOEXEC);
        rc = files[n] < 0 ? -errno : 0;
        n += rc == 0;
    }
    while (n)
        close(files[--n]);
    return rc;
}

uint64_t process_random(void)
{
    uint64_t v = 0;
    ssize_t n = getrandom(&v, sizeof(v), 0);

    must(n == (ssize_t)sizeof(v));
    return v;
}
