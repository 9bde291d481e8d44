/* SPDX-License-Identifier: MIT
 * Certificates of two certificate authorities for tests of TLS to Redis, and a Redis that uses
 * them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "free_port.h"
#include "redis_server.h"
#include "shell.h"

static inline void tls_run(struct shell *s, const char *line)
{
    if (shell_run(s, "%s", line) != 0)
        fail_msg("%s\n%s%s", line, s->out, s->err);
}

#define TLS_NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

/* Makes $D/FILE.pem and $D/FILE.key, signed by $D/CA.pem, for `names` ("IP:127.0.0.1"). If days is
 * negative, it has expired. OpenSSL 3.0 cannot set the beginning, and 3.5 wants it before the end.
 */
static inline void tls_make(struct shell *s, const char *file, const char *ca, const char *names,
                            int days)
{
    const char *begin = days < 0 ? "-not_before 20200101000000Z -not_after 20200102000000Z" : "";

    if (shell_run(s,
                  "openssl req -new -subj /CN=%s " TLS_NEW_KEY
                  "-keyout $D/%s.key -out $D/csr && echo subjectAltName=%s >$D/names && "
                  "sign() { openssl x509 -req -in $D/csr -CA $D/%s.pem -CAkey $D/%s.key "
                  "-CAcreateserial -extfile $D/names -out $D/%s.pem \"$@\"; } && "
                  "{ sign -days %d || sign %s; }",
                  file, file, names, ca, ca, file, days, begin) != 0)
        fail_msg("%s%s", s->out, s->err);
}

static inline void tls_make_authorities(struct shell *s)
{
    tls_run(s, "openssl req -x509 -days 2 -subj /CN=ours " TLS_NEW_KEY
               "-keyout $D/ca.key -out $D/ca.pem");
    tls_run(s, "openssl req -x509 -days 2 -subj /CN=theirs " TLS_NEW_KEY
               "-keyout $D/theirs.key -out $D/theirs.pem");
}

/* Makes Redis show $D/FILE.pem. */
static inline void tls_show(struct redis_server *redis, const struct shell *s, const char *file)
{
    redis_server_do(redis,
                    "CONFIG SET tls-cert-file %s/%s.pem tls-key-file %s/%s.key "
                    "tls-ca-cert-file %s/ca.pem tls-auth-clients no",
                    s->folder, file, s->folder, file, s->folder);
}

/* Makes Redis listen on a TLS port, too, where it shows $D/FILE.pem. Returns the port. */
static inline unsigned tls_listen(struct redis_server *redis, const struct shell *s,
                                  const char *file)
{
    unsigned port = free_port();

    tls_show(redis, s, file);
    redis_server_do(redis, "CONFIG SET tls-port %u", port);
    return port;
}
