/* SPDX-License-Identifier: MIT
 * Memory allocation that aborts on failure. Untrusted input must therefore be limited by configured
 * ceilings. Release memory with free(). */
#pragma once

#include <stddef.h>

/* Memory that glibc uses for an allocation of n bytes: 8 bytes of overhead, in steps of 16. */
#define ALLOC_TAKES(n) ((n) + 8 < 32 ? (size_t)32 : ((size_t)(n) + 8 + 15) & ~(size_t)15)

__attribute__((returns_nonnull, malloc)) void *alloc_bytes(size_t size);
__attribute__((returns_nonnull, malloc)) void *alloc_zeroed(size_t count, size_t size);
__attribute__((returns_nonnull)) void *alloc_grow(void *p, size_t count, size_t size);
__attribute__((returns_nonnull, malloc)) char *alloc_copy(const char *p, size_t n); /* adds a NUL */
__attribute__((returns_nonnull, malloc)) char *alloc_str(const char *s);
__attribute__((returns_nonnull, malloc, format(printf, 1, 2))) char *alloc_printf(const char *fmt,
                                                                                  ...);
