/* SPDX-License-Identifier: MIT
 * Assertions, attributes and small macros that every other file uses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_use __attribute__((warn_unused_result))
#define print_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define array_len(a) (sizeof(a) / sizeof((a)[0]))
/* The string form of a macro that expands to a decimal number. */
#define digits_of(macro) base_quote(macro)
#define base_quote(x) #x
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* An assertion about our own code: always checked, never compiled out. */
#define must(x) ((x) ? (void)0 : base_abort(#x, __FILE__, __LINE__))

__attribute__((noreturn, cold)) void base_abort(const char *what, const char *file, int line);

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define NEVER UINT64_MAX /* a time that never comes */

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* a - b, or 0 if b is larger. */
static inline uint64_t minus_u64(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* a + b, or NEVER if the sum would overflow. */
static inline uint64_t add_time(uint64_t a, uint64_t b)
{
    return a > NEVER - b ? NEVER : a + b;
}
