/* SPDX-License-Identifier: MIT
 * A small disk of the test's own that can be full: a tmpfs in a mount namespace that ends with the
 * process, however it ends. */
#pragma once

#include "base.h"

struct weather_disk {
    char folder[64]; /* "" when there is none */
    bool full;
};

/* What is mounted from now on is seen by this process and its children alone. Needs root; negative
 * errno when it may not. */
must_use int weather_mounts_hide(void);

/* After weather_mounts_hide(). */
must_use int weather_disk_open(struct weather_disk *d, unsigned megabytes);
void weather_disk_close(struct weather_disk *d);
void weather_disk_fill(struct weather_disk *d); /* to the last byte */
void weather_disk_free(struct weather_disk *d);
