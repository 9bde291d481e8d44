/* SPDX-License-Identifier: MIT */
#include "weather_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "weather_relay.h"

/* Reserved for documentation, so nobody uses it: RFC 5737. */
#define NEAR_ADDRESS "192.0.2.2"
#define FAR_ADDRESS "192.0.2.1"
#define NAME "api.fastly.com"

const char *const weather_cut_names[CUT_N] = {"none", "our link is down", "the other end is down",
                                              "no answer comes back"};

struct weather_net {
    int home, near, far; /* network namespaces */
    uint16_t port;
    char *api;
    pid_t relay;
    enum weather_cut cut;
};

/* -- namespaces ------------------------------------------------------------------------------ */

static int this_namespace(void)
{
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    must(fd >= 0);
    return fd;
}

static void go_to(int namespace)
{
    must(setns(namespace, CLONE_NEWNET) == 0);
}

/* Runs `ip` with these arguments in the namespace. */
static bool ip(int namespace, const char *words)
{
    char *command = alloc_printf("PATH=$PATH:/usr/sbin:/sbin ip %s", words);
    int status;
    pid_t pid = fork();

    must(pid >= 0);
    if (pid == 0) {
        go_to(namespace);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    must(waitpid(pid, &status, 0) == pid);
    free(command);
    return status == 0;
}

static bool new_namespaces(struct weather_net *n)
{
    n->home = this_namespace();
    if (unshare(CLONE_NEWNET) < 0)
        return false;
    n->near = this_namespace();
    must(unshare(CLONE_NEWNET) == 0);
    n->far = this_namespace();
    go_to(n->home);
    return true;
}

static bool lay_cable(struct weather_net *n)
{
    char *words = alloc_printf("link add near type veth peer name far netns /proc/%d/fd/%d",
                               (int)getpid(), n->far);
    bool ok = ip(n->near, words) && ip(n->near, "addr add " NEAR_ADDRESS "/30 dev near") &&
              ip(n->near, "link set near up") &&
              ip(n->far, "addr add " FAR_ADDRESS "/30 dev far") && ip(n->far, "link set far up");

    free(words);
    return ok;
}

/* Resolves the API's name to the relay, for this process and its children only. */
static bool name_the_ear(void)
{
    char path[] = "/tmp/purgeline-hosts-XXXXXX";
    int fd = mkstemp(path);
    bool ok;

    must(fd >= 0);
    must(dprintf(fd, "127.0.0.1 localhost\n%s %s\n", FAR_ADDRESS, NAME) > 0);
    must(fchmod(fd, 0644) == 0);
    close(fd);
    ok = mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    unlink(path);
    return ok;
}

/* -- the relay ------------------------------------------------------------------------------- */

static int listen_far(struct weather_net *n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(n->port)};
    int fd;

    go_to(n->far);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(fd >= 0);
    must(bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    must(listen(fd, 128) == 0);
    go_to(n->home);
    return fd;
}

static void start_relay(struct weather_net *n)
{
    int ear = listen_far(n);

    n->relay = fork();
    must(n->relay >= 0);
    if (n->relay == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        weather_relay_run(ear, n->port);
    }
    close(ear);
}

/* -- opening and closing ---------------------------------------------------------------------- */

struct weather_net *weather_net_open(const char *api, const char **why)
{
    struct weather_net *n = alloc_zeroed(1, sizeof(*n));

    n->home = n->near = n->far = -1;
    n->port = (uint16_t)atoi(strrchr(api, ':') + 1);
    n->api = alloc_printf("https://%s:%u", NAME, n->port);
    *why = !new_namespaces(n) ? "no network namespaces"
           : !lay_cable(n)    ? "no cable (veth) between network namespaces"
           : !name_the_ear()  ? "no /etc/hosts of our own"
                              : NULL;
    if (*why) {
        weather_net_close(n);
        return NULL;
    }
    start_relay(n);
    return n;
}

void weather_net_close(struct weather_net *n)
{
    if (!n)
        return;
    if (n->relay > 0) {
        kill(n->relay, SIGKILL);
        must(waitpid(n->relay, NULL, 0) == n->relay);
        (void)umount2("/etc/hosts", MNT_DETACH);
    }
    close(n->home);
    if (n->near >= 0) {
        close(n->near);
        close(n->far);
    }
    free(n->api);
    free(n);
}

const char *weather_net_api(const struct weather_net *n)
{
    return n->api;
}

void weather_net_enter(struct weather_net *n)
{
    if (n)
        go_to(n->near);
}

void weather_net_leave(struct weather_net *n)
{
    if (n)
        go_to(n->home);
}

/* -- cutting the network ---------------------------------------------------------------------- */

static const struct {
    const char *cut, *mend;
    bool far;
} ways[CUT_N] = {
    [CUT_NEAR] = {"link set near down", "link set near up", false},
    [CUT_FAR] = {"link set far down", "link set far up", true},
    [CUT_REPLIES] = {"route add blackhole " NEAR_ADDRESS "/32",
                     "route del blackhole " NEAR_ADDRESS "/32", true},
};

void weather_net_cut(struct weather_net *n, enum weather_cut cut)
{
    if (n->cut != CUT_NONE)
        must(ip(ways[n->cut].far ? n->far : n->near, ways[n->cut].mend));
    n->cut = cut;
    if (cut != CUT_NONE)
        must(ip(ways[cut].far ? n->far : n->near, ways[cut].cut));
}
