/* SPDX-License-Identifier: MIT
 * The identity and limits of this process: a unique name, a check whether the process with such a
 * name is certainly dead, and protection of its memory. */
#pragma once

#include "base.h"

#define PROCESS_IDENTITY_MAX 160

/* "<host>/<boot id>/<pid namespace>/<pid>/<start time>/<random>" of this process, without spaces.
 */
void process_identity(char out[PROCESS_IDENTITY_MAX]);

/* True only when it is certain: in this same boot and pid namespace, no process of that number and
 * start time is left. */
bool process_is_dead(const char *identity);

/* Forbids core files and access by other processes of the same user, because the memory contains a
 * token. */
void process_harden(void);

/* Large blocks go back to the kernel as soon as they are freed. */
void process_return_memory(void);

/* Lets this process open as many files as it may at all. Returns how many that is. */
uint64_t process_raise_files(void);
/* Whether so many more (at most 64) can be opened now: for a moment they are. 0, or negative errno.
 */
must_use int process_spare_files(uint32_t count);

uint64_t process_random(void); /* from the kernel */
