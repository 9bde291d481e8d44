/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int file_read(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char chunk[4096];
    int rc = 0;
    ssize_t n;

    if (fd < 0)
        return -errno;
    while (rc == 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n > 0)
            rc = buf_try_put(out, span_of(chunk, (size_t)n));
        else if (errno != EINTR)
            rc = -errno;
    }
    explicit_bzero(chunk, sizeof(chunk));
    close(fd);
    return rc;
}
