/* SPDX-License-Identifier: MIT
 * The identity and limits of this process: a unique name, a check whether the process with such a
 * name is certainly dead, and protection of its memory. */
#pragma once

#include "base.h"

#define PROCESS_IDENTITY_MAX 160

/* "<host>/<boot id>/<pid namespace>/<pid>/<start time>/<random>" of this process, without spaces.
 */
void process_identity(char out[PROCESS_IDENTITY_MAX]);

/* True only if it is certain: the process ran in this boot and pid namespace, and no process with
 * its pid and start time is left. */
bool process_is_dead(const char *identity);

/* Forbids core files and access by other processes of the same user, because the memory contains a
 * token. */
void process_harden(void);

/* Makes malloc return large blocks to the kernel as soon as they are freed. */
void process_return_memory(void);

/* Raises this process's limit of open files to the maximum, and returns it. */
uint64_t process_raise_files(void);
/* Checks whether `count` more files (at most 64) can be opened now, by opening them for a moment.
 * 0, or negative errno. */
must_use int process_spare_files(uint32_t count);

uint64_t process_random(void); /* a random number from the kernel */
