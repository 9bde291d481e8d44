/* SPDX-License-Identifier: MIT
 * A small disk that can be filled: a tmpfs in a mount namespace, which ends with the process. */
#pragma once

#include "base.h"

struct weather_disk {
    char folder[64]; /* "" when there is none */
    bool full;
};

/* Makes later mounts visible only to this process and its children. Needs root; returns a negative
 * errno if it is not permitted. */
must_use int weather_mounts_hide(void);

/* After weather_mounts_hide(). */
must_use int weather_disk_open(struct weather_disk *d, unsigned megabytes);
void weather_disk_close(struct weather_disk *d);
void weather_disk_fill(struct weather_disk *d); /* until no byte is left */
void weather_disk_free(struct weather_disk *d);
