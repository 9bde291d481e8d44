/* SPDX-License-Identifier: MIT */
#include "secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "file.h"

bool secret_is_header_byte(char c)
{
    return c > 0x20 && c < 0x7f;
}

bool secret_is_text_byte(char c)
{
    return (unsigned char)c >= 0x20 && c != 0x7f;
}

static struct span trim(struct span s)
{
    while (s.n && strchr(" \t\r\n", *s.p)) {
        s.p++;
        s.n--;
    }
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

static int take(struct span text, const char *from, const char *what, secret_byte_cb *ok,
                char **out, struct error *err)
{
    struct span t = trim(text);

    for (size_t i = 0; i < t.n; i++)
        if (!ok(t.p[i]))
            return error_set(err, -EINVAL, "%s: byte %zu of the %s is no printable character", from,
                             i + 1, what);
    if (t.n == 0)
        return error_set(err, -ENOENT, "%s: it is empty", from);
    *out = alloc_copy(t.p, t.n);
    return 0;
}

int secret_from_file(const char *path, const char *what, secret_byte_cb *ok, char **out,
                     struct error *err)
{
    enum file_access access;
    struct buf text;
    bool is_folder;
    int rc;

    if (file_access(path, &access, &is_folder) == 0 && access == FILE_ANYBODY_WRITES)
        return error_set(err, -EPERM, "%s: anybody may change it, so it is not read: chmod 640",
                         path);
    buf_init(&text, SECRET_MAX_BYTES);
    rc = file_read(path, &text);
    if (rc < 0)
        error_set(err, rc, "%s: cannot read the %s: %s", path, what,
                  rc == -EMSGSIZE ? "longer than 4096 bytes" : strerror(-rc));
    else
        rc = take(buf_span(&text), path, what, ok, out, err);
    if (text.p)
        explicit_bzero(text.p, text.room);
    buf_deinit(&text);
    return rc == -EMSGSIZE ? -EINVAL : rc;
}

int secret_from_env(const char *name, const char *what, secret_byte_cb *ok, char **out,
                    struct error *err)
{
    const char *value = getenv(name);

    if (!value)
        return error_set(err, -ENOENT, "$%s: there is no such environment variable", name);
    if (strlen(value) > SECRET_MAX_BYTES)
        return error_set(err, -EINVAL, "$%s: longer than 4096 bytes", name);
    return take(span_str(value), name, what, ok, out, err);
}

void secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}
