/* SPDX-License-Identifier: MIT
 * An egress proxy: Debian's tinyproxy on a free loopback port. It tunnels (CONNECT) to one port
 * only. */
#pragma once

#include <sys/types.h>

#include "base.h"

struct egress {
    char folder[64];
    char log[96]; /* one line per tunnel: "CONNECT 127.0.0.1:443" */
    unsigned port;
    unsigned to;      /* the only port that it connects to */
    const char *user; /* "user password", or "" */
    pid_t pid;
    /* the port of a TLS server in front of it; 0: none */
    unsigned tls_port;
    pid_t tls_pid;
};

/* `user` is "name password"; "" allows everybody. */
void egress_start(struct egress *e, unsigned to, const char *user);
void egress_kill(struct egress *e);    /* stops it; its port stays reserved */
void egress_restart(struct egress *e); /* with the current values in *e */
void egress_stop(struct egress *e);
/* Also starts a TLS server on tls_port, with this certificate. */
void egress_add_tls(struct egress *e, const char *cert_file, const char *key_file);
size_t egress_tunnels(const struct egress *e); /* number of tunnels so far */
/* Whether its log contains the text. */
bool egress_said(const struct egress *e, const char *text);
