/* SPDX-License-Identifier: MIT */
#include "outcome.h"

const char *const outcome_names[OUTCOME_N] = {[OUTCOME_PURGED] = "purged",
                                              [OUTCOME_EXPIRED] = "expired",
                                              [OUTCOME_CANCELLED] = "cancelled",
                                              [OUTCOME_DEAD] = "dead",
                                              [OUTCOME_LATER] = "later"};
