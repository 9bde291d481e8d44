/* SPDX-License-Identifier: MIT */
#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void spill_init(struct spill *s, struct quota *files, const char *party)
{
    *s = (struct spill){.file = -1};
    buf_init(&s->memory, SPILL_MEMORY_BYTES);
    quota_bill_open(files, party, &s->bill);
}

void spill_deinit(struct spill *s)
{
    buf_deinit(&s->memory);
    quota_bill_close(&s->bill);
    if (s->file >= 0)
        close(s->file);
    s->file = -1;
}

/* For file systems without unnamed files: creates a named file and removes its name immediately. */
static int open_named(const char *folder)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/purgeline-XXXXXX", folder), fd;

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int open_file(void)
{
    const char *folder = getenv("TMPDIR");
    int fd;

    if (!folder || !*folder)
        folder = "/tmp";
    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        return open_named(folder);
    return fd < 0 ? -errno : fd;
}

static int write_all(int fd, struct span s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            s = span_of(s.p + n, s.n - (size_t)n);
    }
    return 0;
}

static int flush(struct spill *s)
{
    int rc = 0;

    if (s->file < 0)
        s->file = rc = open_file();
    if (rc >= 0)
        rc = write_all(s->file, buf_span(&s->memory));
    if (rc < 0)
        return rc;
    if (s->full || !quota_take(&s->bill, s->memory.n)) {
        s->full = true;
        quota_take_over(&s->bill, s->memory.n);
    }
    s->file_bytes += s->memory.n;
    buf_clear(&s->memory);
    return 0;
}

int spill_put(struct spill *s, struct span text)
{
    int rc = buf_try_put(&s->memory, text);

    if (rc == 0)
        return 0;
    rc = flush(s);
    return rc < 0 ? rc : buf_try_put(&s->memory, text);
}

int spill_answer(struct spill *s, struct answer *a)
{
    int rc = s->file < 0 ? 0 : flush(s);

    if (rc < 0)
        return rc;
    a->file = s->file;
    a->body_bytes = s->file < 0 ? s->memory.n : s->file_bytes;
    a->body = s->file < 0 ? buf_take(&s->memory) : NULL;
    s->file = -1;
    buf_deinit(&s->memory);
    return 0;
}
