/* SPDX-License-Identifier: MIT */
#include "outcome.h"

#include <string.h>

const char *const outcome_names[OUTCOME_N] = {[OUTCOME_PURGED] = "purged",
                                              [OUTCOME_EXPIRED] = "expired",
                                              [OUTCOME_CANCELLED] = "cancelled",
                                              [OUTCOME_DEAD] = "dead",
                                              [OUTCOME_LATER] = "later"};

bool outcome_is_end(const char *name)
{
    for (int i = 0; i < OUTCOME_LATER; i++)
        if (strcmp(name, outcome_names[i]) == 0)
            return true;
    return false;
}
