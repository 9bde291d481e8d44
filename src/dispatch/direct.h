/* SPDX-License-Identifier: MIT
 * Decides which URLs of a job may be purged at their site (url_mode: direct). */
#pragma once

#include "config.h"
#include "job.h"

/* Why a URL of the job may not be purged there, or NULL. */
const char *direct_why_not(const struct config_account *a, const struct job_spec *spec);
