/* SPDX-License-Identifier: MIT
 * This process among others: a name no other incarnation has, whether the bearer of such a name is
 * dead for certain, and keeping its memory to itself. */
#pragma once

#include "base.h"

#define PROCESS_IDENTITY_MAX 160

/* "<host>/<boot id>/<pid namespace>/<pid>/<start time>/<random>" of this process, without spaces.
 */
void process_identity(char out[PROCESS_IDENTITY_MAX]);

/* True only when it is certain: in this same boot and pid namespace, no process of that number and
 * start time is left. */
bool process_is_dead(const char *identity);

/* No core files, no peeking by other processes of the user: the memory holds a token. */
void process_harden(void);

/* Large blocks go back to the kernel as soon as they are freed. */
void process_return_memory(void);

/* Lets this process open as many files as it may at all. Returns how many that is. */
uint64_t process_raise_files(void);
/* Whether so many more (at most 64) can be opened now: for a moment they are. 0, or negative errno.
 */
must_use int process_spare_files(uint32_t count);

uint64_t process_random(void); /* from the kernel */
