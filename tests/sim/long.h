/* SPDX-License-Identifier: MIT
 * Days that are played in seconds: what an hourly budget promises shows only over hours. Each
 * returns 0 when it is kept, and says in one line what was measured. */
#pragma once

#include "base.h"

/* A permanent backlog against 100,000 an hour: never more than that in any sliding hour, and at
 * least 99 % of it used. */
must_use int long_day(uint32_t hours);
/* The same with bursts of normal and urgent purges, and single urgent ones: no lane that has work
 * gets nothing for longer than a second (urgent), ten (normal) or sixty (bulk). */
must_use int long_bursts(uint32_t hours);
/* Bursts, and a restart every minute and a failover to another machine every ten. */
must_use int long_restarts(uint32_t hours);
/* Millions of bulk jobs wait: of so many urgent pushes 99 % are on the wire within a second. */
must_use int long_backlog(uint64_t bulk, uint32_t urgent);
