/* SPDX-License-Identifier: MIT
 * An egress proxy: Debian's tinyproxy on a loopback port of its own, which tunnels (CONNECT) to one
 * port and to no other. */
#pragma once

#include <sys/types.h>

#include "base.h"

struct egress {
    char folder[64];
    char log[96]; /* a line for each tunnel: "CONNECT 127.0.0.1:443" */
    unsigned port;
    unsigned to;      /* the port that it may connect to */
    const char *user; /* "user password", or "" */
    pid_t pid;
    /* one that speaks TLS in front of it; 0: none */
    unsigned tls_port;
    pid_t tls_pid;
};

/* `user` is "name password", or "" for whoever comes. */
void egress_start(struct egress *e, unsigned to, const char *user);
void egress_kill(struct egress *e);    /* it is away; the port stays its own */
void egress_restart(struct egress *e); /* with what is in *e now */
void egress_stop(struct egress *e);
/* Also lets it be reached by TLS on tls_port, with that certificate. */
void egress_add_tls(struct egress *e, const char *cert_file, const char *key_file);
size_t egress_tunnels(const struct egress *e); /* that it made */
/* Whether what it wrote down has the text. */
bool egress_said(const struct egress *e, const char *text);
