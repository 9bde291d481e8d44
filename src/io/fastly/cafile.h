/* SPDX-License-Identifier: MIT
 * Checks that a CA file is valid. curl detects an invalid file only when it connects, and then
 * every purge fails. */
#pragma once

#include "error.h"

/* 0, or negative errno with a sentence in err that begins with the path. */
must_use int cafile_test(const char *path, struct error *err);
