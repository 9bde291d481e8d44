/* SPDX-License-Identifier: MIT
 * Days that are played in seconds: what an hourly budget promises shows only over hours. Each
 * returns 0 when it is kept, and says in one line what was measured. */
#pragma once

#include "base.h"

/* A permanent backlog against 100,000 an hour: never more than that in any sliding hour, and at
 * least 99 % of it used. */
must_use int long_day(uint32_t hours);
/* The same with a restart every minute and a failover to another machine every ten: 97 %. */
must_use int long_restarts(uint32_t hours);
/* Millions of bulk jobs wait: of so many urgent pushes 99 % are on the wire within a second. */
must_use int long_backlog(uint64_t bulk, uint32_t urgent);
