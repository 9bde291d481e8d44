/* SPDX-License-Identifier: MIT
 * Which slot of a Cluster a key is in.
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags */
#pragma once

#include <stdint.h>

#include "span.h"

/* 0 to 16383. If the key has a hash tag, a text in braces that is not empty, only this counts. */
uint32_t redis_slot_of(struct span key);
