/* SPDX-License-Identifier: MIT */
#include "direct.h"

/* A host that needs the token is never asked over http: without the token it would refuse. URLs
 * that differ only in their scheme are merged, so a purge over https might be lost in one over http
 * that cannot succeed. */
const char *direct_why_not(const struct config_account *a, const struct job_spec *spec)
{
    for (uint32_t i = 0; i < spec->targets_count && a->url_mode == URL_MODE_DIRECT; i++) {
        struct span url = spec->targets[i].bytes, host, rest;

        if (spec->targets[i].kind != TARGET_URL)
            continue;
        url_split(url, &host, &rest);
        if (!config_words_have_host(&a->direct_hosts, host))
            return "url: its host is not among the account's direct_hosts";
        if (span_starts_nocase(url, "http://") &&
            config_words_have_host(&a->direct_token_hosts, host))
            return "url: its host is among the account's direct_token_hosts: ask for https, http "
                   "would show the token";
    }
    return NULL;
}
