/* SPDX-License-Identifier: MIT */
#include "egress.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "await.h"
#include "buf.h"
#include "file.h"
#include "free_port.h"
#include "redis_server.h"

/* A TLS server that forwards bytes, because tinyproxy does not support TLS. */
static const char tls_front[] =
    "import socket, ssl, sys, threading\n"
    "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "c.load_cert_chain(sys.argv[1], sys.argv[2])\n"
    "def carry(a, b):\n"
    "    try:\n"
    "        while True:\n"
    "            d = a.recv(65536)\n"
    "            if not d: break\n"
    "            b.sendall(d)\n"
    "    except OSError: pass\n"
    "    for s in (a, b):\n"
    "        try: s.shutdown(socket.SHUT_RDWR)\n"
    "        except OSError: pass\n"
    "def serve(a):\n"
    "    try: a = c.wrap_socket(a, server_side=True)\n"
    "    except OSError: return\n"
    "    b = socket.create_connection(('127.0.0.1', int(sys.argv[4])))\n"
    "    threading.Thread(target=carry, args=(a, b), daemon=True).start()\n"
    "    carry(b, a)\n"
    "l = socket.create_server(('127.0.0.1', int(sys.argv[3])))\n"
    "while True:\n"
    "    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()\n";

static bool answers(unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    in.sin_port = htons((uint16_t)port);
    ok = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
    close(fd);
    return ok;
}

static pid_t spawn(const char *const *argv)
{
    pid_t pid = fork();

    must(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with the test, even if that aborts */
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

static void end(pid_t *pid)
{
    if (*pid <= 0)
        return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

void egress_restart(struct egress *e)
{
    char *path = alloc_printf("%s/conf", e->folder);
    const char *argv[] = {"tinyproxy", "-d", "-c", path, NULL};
    FILE *f = fopen(path, "w");

    must(f);
    fprintf(f,
            "Port %u\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nAllow 127.0.0.1\n"
            "LogFile \"%s\"\nLogLevel Connect\nConnectPort %u\n%s%s\n",
            e->port, e->log, e->to, *e->user ? "BasicAuth " : "", e->user);
    must(fclose(f) == 0);
    e->pid = spawn(argv);
    await_until(-1, AWAIT_PATIENCE_MS, answers(e->port));
    free(path);
}

void egress_start(struct egress *e, unsigned to, const char *user)
{
    *e = (struct egress){.to = to, .user = user, .port = free_port()};
    snprintf(e->folder, sizeof(e->folder), "/tmp/purgeline-egress-XXXXXX");
    must(mkdtemp(e->folder));
    snprintf(e->log, sizeof(e->log), "%s/log", e->folder);
    egress_restart(e);
}

void egress_kill(struct egress *e)
{
    end(&e->pid);
}

void egress_stop(struct egress *e)
{
    char *command = alloc_printf("rm -rf '%s'", e->folder);

    end(&e->pid);
    end(&e->tls_pid);
    if (*e->folder)
        must(system(command) == 0);
    free(command);
    *e = (struct egress){0};
}

void egress_add_tls(struct egress *e, const char *cert_file, const char *key_file)
{
    char listen[16], to[16];
    const char *argv[] = {"python3", "-c", tls_front, cert_file, key_file, listen, to, NULL};

    e->tls_port = free_port();
    snprintf(listen, sizeof(listen), "%u", e->tls_port);
    snprintf(to, sizeof(to), "%u", e->port);
    e->tls_pid = spawn(argv);
    await_until(-1, AWAIT_PATIENCE_MS, answers(e->tls_port));
}

static size_t times(const char *path, const char *text)
{
    struct buf b;
    size_t n = 0;

    buf_init(&b, 16 * 1024 * 1024);
    if (file_read(path, &b) == 0 && b.n)
        for (const char *p = b.p; (p = strstr(p, text)); p += strlen(text))
            n++;
    buf_deinit(&b);
    return n;
}

size_t egress_tunnels(const struct egress *e)
{
    return times(e->log, "): CONNECT ");
}

bool egress_said(const struct egress *e, const char *text)
{
    return times(e->log, text) > 0;
}
