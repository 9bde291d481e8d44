/* SPDX-License-Identifier: MIT
 * Opens the HTTP server's listening sockets: TCP addresses and Unix sockets. A Unix socket is
 * created without permissions, then gets its group and mode, and only then listens, so that nobody
 * can connect with temporary permissions. A socket left behind by a dead process is replaced. This
 * is done under a lock on the folder, so that only one of two processes that start at the same time
 * does it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "httpd_internal.h"
#include "setting.h"

#define BACKLOG 4096
#define GROUP_BYTES 65536 /* buffer for a group's entry with its members */

/* -- TCP -- */

/* Splits "host:port" or "[host]:port". */
static int split_listen(const char *listen, char *host, size_t room, char *port, size_t port_room)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;

    if (!colon || n + 1 > room)
        return -EINVAL;
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']')
        snprintf(host, room, "%.*s", (int)n - 2, listen + 1);
    else
        snprintf(host, room, "%.*s", (int)n, listen);
    snprintf(port, port_room, "%s", colon + 1);
    return 0;
}

enum port { PORT_OWN, PORT_SHARED };

static void share_port(int fd, enum port how)
{
    int on = how == PORT_SHARED;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

/* "0.0.0.0:80" blocks "127.0.0.1:80" unless both sockets allow sharing the port. So listeners that
 * are about to close allow it while the new ones are opened. */
static enum port share_leaving(struct httpd *h, enum port how)
{
    enum port needed = PORT_OWN;

    list_each(node, &h->listeners) {
        struct listener *l = list_entry(node, struct listener, link);

        if (l->leaves && !l->local) {
            share_port(l->fd, how);
            needed = PORT_SHARED;
        }
    }
    return needed;
}

static int listen_on(const struct addrinfo *a, enum port how, bool only_six)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    int on = 1, rc;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (only_six)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    share_port(fd, how);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        share_port(fd, PORT_OWN); /* other processes of this user must not share it */
        return fd;
    }
    rc = -errno;
    close(fd);
    return rc;
}

static void name_port(struct listener *l)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof(a);
    char host[64], port[8];

    must(getsockname(l->fd, (struct sockaddr *)&a, &n) == 0);
    must(getnameinfo((struct sockaddr *)&a, n, host, sizeof(host), port, sizeof(port),
                     NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    snprintf(l->address, sizeof(l->address), a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
             port);
}

static const char *hint_of(int err)
{
    switch (err) {
    case EADDRINUSE:
        return " (ss -ltnp shows by whom)";
    case EADDRNOTAVAIL:
        return " (no interface of this machine has it)";
    case EACCES:
        return " (ports below 1024 want CAP_NET_BIND_SERVICE)";
    default:
        return "";
    }
}

static int open_port(struct httpd *h, struct listener *l, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    char host[256], port[16];
    int rc;

    if (split_listen(l->name, host, sizeof(host), port, sizeof(port)) < 0)
        return error_set(err, -EINVAL, "%s: expected host:port", l->name);
    rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return error_set(err, -EINVAL, "%s: %s", l->name, gai_strerror(rc));
    l->fd = listen_on(found, share_leaving(h, PORT_SHARED), l->only_six);
    share_leaving(h, PORT_OWN);
    freeaddrinfo(found);
    if (l->fd < 0)
        return error_set(err, l->fd, "%s: cannot listen: %s%s", l->name, strerror(-l->fd),
                         hint_of(-l->fd));
    name_port(l);
    return 0;
}

/* -- Unix sockets -- */

static const char *path_of(const struct listener *l)
{
    return l->name + strlen(SETTING_UNIX);
}

static int group_id(const char *name, gid_t *id)
{
    char *room = alloc_zeroed(1, GROUP_BYTES);
    struct group entry, *found = NULL;
    int rc = getgrnam_r(name, &entry, room, GROUP_BYTES, &found);

    if (found)
        *id = found->gr_gid;
    free(room);
    return found ? 0 : rc ? -rc : -ENOENT;
}

static int grant(const struct listener *l, const struct httpd_options *o, struct error *err)
{
    const char *group = o->unix_group ? o->unix_group : "";
    gid_t id = 0;

    if (*group) {
        if (group_id(group, &id) < 0)
            return error_set(err, -EINVAL, "%s: there is no group '%s'", l->name, group);
        if (lchown(path_of(l), (uid_t)-1, id) < 0)
            return error_set(err, -EACCES, "%s: cannot give it to group '%s': %s", l->name, group,
                             errno == EPERM ? "purgeline's user must be in that group"
                                            : strerror(errno));
    }
    if (chmod(path_of(l), o->unix_mode) == 0)
        return 0;
    return error_set(err, -EACCES, "%s: cannot set its mode: %s", l->name, strerror(errno));
}

/* Removes a socket that no process listens on. 0 if it was removed. */
static int remove_stale(const struct sockaddr_un *a, struct error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc = -EADDRINUSE;
    struct stat s;

    if (fd < 0) {
        rc = error_set(err, -errno, "cannot listen: %s", strerror(errno));
    } else if (lstat(a->sun_path, &s) == 0 && !S_ISSOCK(s.st_mode)) {
        error_set(err, rc, "cannot listen: what is there is no socket, so it is left alone");
    } else if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN) {
        error_set(err, rc, "cannot listen: another process listens there");
    } else if (errno == ECONNREFUSED && unlink(a->sun_path) == 0) {
        rc = 0;
    } else {
        error_set(err, rc, "cannot replace the socket that is there: %s", strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static int bind_local(int fd, const struct sockaddr_un *a, struct error *err)
{
    int rc;

    if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
        return 0;
    rc = -errno;
    if (rc == -EADDRINUSE) {
        rc = remove_stale(a, err);
        if (rc < 0)
            return rc;
        if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
            return 0;
        rc = -errno;
    }
    return error_set(err, rc, "cannot listen: %s", strerror(-rc));
}

/* Locks the folder of `path`. Returns a descriptor that holds the lock until it is closed, or
 * negative errno with a sentence. */
static int lock_folder(const char *path, struct error *err)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    size_t n = (size_t)(strrchr(path, '/') - path);
    int fd, rc;

    snprintf(folder, sizeof(folder), "%.*s", n ? (int)n : 1, path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    rc = -errno;
    if (rc == -EWOULDBLOCK)
        error_set(err, rc, "another process has %s locked: try again", folder);
    else
        error_set(err, rc, "cannot listen in %s: %s", folder, strerror(-rc));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int remember_inode(struct listener *l)
{
    struct stat s;

    if (lstat(path_of(l), &s) < 0)
        return -errno;
    l->device = s.st_dev;
    l->inode = s.st_ino;
    return 0;
}

/* Removes the socket's file only if it is still ours, because another process may have replaced
 * it. */
static void remove_socket(const struct listener *l)
{
    struct stat s;

    if (lstat(path_of(l), &s) == 0 && s.st_dev == l->device && s.st_ino == l->inode)
        unlink(path_of(l));
}

static int make_socket(struct listener *l, const struct sockaddr_un *a,
                       const struct httpd_options *o, struct error *err)
{
    struct error why;
    int rc;

    if (fchmod(l->fd, 0) < 0)
        return -errno;
    rc = bind_local(l->fd, a, &why);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", l->name, why.text);
    rc = remember_inode(l);
    if (rc == 0)
        rc = grant(l, o, err);
    if (rc == 0 && listen(l->fd, BACKLOG) < 0)
        rc = -errno;
    if (rc < 0)
        remove_socket(l);
    return rc;
}

static int open_local(struct listener *l, const struct httpd_options *o, struct error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct error why;
    int lock, rc;

    if (*path_of(l) != '/' || strlen(path_of(l)) >= sizeof(a.sun_path))
        return error_set(err, -EINVAL, "%s: expected unix:/path of at most 107 bytes", l->name);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path_of(l));
    lock = lock_folder(a.sun_path, &why);
    if (lock < 0)
        return error_set(err, lock, "%s: %s", l->name, why.text);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    error_set(err, -EIO, "%s: cannot listen", l->name); /* unless a step below says more */
    rc = l->fd < 0 ? -errno : make_socket(l, &a, o, err);
    close(lock);
    if (rc < 0 && l->fd >= 0)
        close(l->fd);
    snprintf(l->address, sizeof(l->address), "%s", l->name);
    return rc;
}

/* -- all listeners -- */

/* "[::]:80" includes all IPv4 addresses, unless "0.0.0.0:80" is listed separately. */
static bool is_only_six(const char *listen, struct span name)
{
    struct span rest = span_str(listen), one;
    const char *any_six = "[::]:", *any_four = "0.0.0.0:";

    if (!span_starts_nocase(name, any_six))
        return false;
    while (setting_listen_next(&rest, &one))
        if (span_starts_nocase(one, any_four) &&
            span_eq(span_of(one.p + strlen(any_four), one.n - strlen(any_four)),
                    span_of(name.p + strlen(any_six), name.n - strlen(any_six))))
            return true;
    return false;
}

static bool is_it(const struct listener *l, const char *listen, struct span name)
{
    return span_is(name, l->name) && l->only_six == is_only_six(listen, name);
}

static int open_one(struct httpd *h, const struct httpd_options *o, struct span name,
                    struct error *err)
{
    struct listener *l = alloc_zeroed(1, sizeof(*l));
    int rc;

    l->name = alloc_copy(name.p, name.n);
    l->local = setting_listen_is_unix(name);
    l->only_six = is_only_six(o->listen, name);
    rc = l->local ? open_local(l, o, err) : open_port(h, l, err);
    if (rc < 0) {
        free(l->name);
        free(l);
        return rc;
    }
    list_push_back(&h->listeners, &l->link);
    return 0;
}

static bool is_open(const struct httpd *h, const char *listen, struct span name)
{
    list_each(node, &h->listeners)
        if (is_it(list_entry(node, struct listener, link), listen, name))
            return true;
    return false;
}

static bool is_wanted(const struct listener *l, const char *listen)
{
    struct span rest = span_str(listen), one;

    while (setting_listen_next(&rest, &one))
        if (is_it(l, listen, one))
            return true;
    return false;
}

/* Applies the mode and group to Unix sockets that stay open, because they may have changed. */
static int grant_again(struct httpd *h, const struct httpd_options *o, struct error *err)
{
    int rc = 0;

    list_each(node, &h->listeners) {
        struct listener *l = list_entry(node, struct listener, link);

        if (l->local && !l->leaves && rc == 0)
            rc = grant(l, o, err);
    }
    return rc;
}

int listen_open(struct httpd *h, const struct httpd_options *o, struct error *err)
{
    struct span rest = span_str(o->listen), one;
    int first = 0;

    list_each(node, &h->listeners) {
        struct listener *l = list_entry(node, struct listener, link);

        l->leaves = !is_wanted(l, o->listen);
    }
    first = grant_again(h, o, err);
    while (setting_listen_next(&rest, &one)) {
        struct error why;
        int rc = is_open(h, o->listen, one) ? 0 : open_one(h, o, one, &why);

        if (rc < 0 && first == 0) {
            *err = why;
            first = rc;
        }
    }
    if (first == 0 && list_empty(&h->listeners))
        return error_set(err, -EINVAL, "expected host:port");
    return first;
}

void listen_close(struct httpd *h, struct listener *l)
{
    list_each(node, &h->slots) {
        struct slot *s = list_entry(node, struct slot, link);

        if (s->listener == l)
            s->listener = NULL;
    }
    if (l->local)
        remove_socket(l);
    close(l->fd);
    list_remove(&l->link);
    free(l->name);
    free(l);
}

void listen_close_all(struct httpd *h)
{
    list_each_safe(node, next, &h->listeners)
        listen_close(h, list_entry(node, struct listener, link));
}

void listen_name(struct httpd *h)
{
    struct buf all;

    buf_init(&all, SIZE_MAX);
    list_each(node, &h->listeners)
        buf_printf(&all, "%s%s", all.n ? "," : "",
                   list_entry(node, struct listener, link)->address);
    free(h->address);
    h->address = alloc_copy(all.p, all.n);
    buf_deinit(&all);
}
