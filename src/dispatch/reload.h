/* SPDX-License-Identifier: MIT
 * What a reload changes of an account, for its history: an act (store/act.h) of the instance that
 * leads the account when it takes the new configuration. */
#pragma once

#include "config.h"

struct dispatch;
struct endpoint;

/* Before the new settings and the new endpoint are taken. Notes nothing if this instance does not
 * lead, or nothing of the account has changed. */
void reload_note(struct dispatch *d, const struct config_account *fresh,
                 const struct endpoint *endpoint, uint64_t wall_ms);

/* [{"name":"budget.purges","from":1000,"to":2000},{"name":"services"}]: the old and new values of
 * numbers, sizes, flags and choices. Texts and lists are only named: they may be secret or long. */
struct json_t *reload_changes(const struct config_account *old, const struct config_account *fresh);
