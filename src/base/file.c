/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_access(const char *path, enum file_access *access, bool *is_folder)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    *is_folder = S_ISDIR(st.st_mode);
    *access = FILE_PRIVATE;
    if (!S_ISREG(st.st_mode) && !*is_folder)
        return 0;
    if (st.st_mode & S_IWOTH)
        *access = FILE_ANYBODY_WRITES;
    else if (st.st_mode & S_IWGRP)
        *access = FILE_GROUP_WRITES;
    else if (st.st_mode & (*is_folder ? S_IROTH | S_IXOTH : S_IROTH))
        *access = FILE_OTHERS_READ;
    else if (st.st_mode & S_IRGRP && st.st_uid != 0 && st.st_gid != getegid())
        *access = FILE_GROUP_READS;
    return 0;
}

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
