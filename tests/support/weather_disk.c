/* SPDX-License-Identifier: MIT */
#include "weather_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "alloc.h"

int weather_mounts_hide(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    return 0;
}

int weather_disk_open(struct weather_disk *d, unsigned megabytes)
{
    char options[32];

    *d = (struct weather_disk){.folder = "/tmp/purgeline-disk-XXXXXX"};
    snprintf(options, sizeof(options), "size=%um,mode=0700", megabytes);
    must(mkdtemp(d->folder));
    if (mount("none", d->folder, "tmpfs", 0, options) < 0) {
        int err = -errno;

        rmdir(d->folder);
        d->folder[0] = '\0';
        return err;
    }
    return 0;
}

void weather_disk_close(struct weather_disk *d)
{
    if (!d->folder[0])
        return;
    (void)umount2(d->folder, MNT_DETACH);
    (void)rmdir(d->folder);
    d->folder[0] = '\0';
}

void weather_disk_fill(struct weather_disk *d)
{
    static const char nothing[4096];
    char *path = alloc_printf("%s/filler", d->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    must(fd >= 0);
    while (write(fd, nothing, sizeof(nothing)) > 0)
        continue;
    must(errno == ENOSPC);
    close(fd);
    free(path);
    d->full = true;
}

void weather_disk_free(struct weather_disk *d)
{
    char *path = alloc_printf("%s/filler", d->folder);

    must(unlink(path) == 0);
    free(path);
    d->full = false;
}
