/* SPDX-License-Identifier: MIT */
#include "check_files.h"

#include "cafile.h"
#include "check_say.h"
#include "config_file.h"
#include "secret.h"

static void judge_token(const struct report *r, const struct config_account *a)
{
    bool by_file = *a->token_file;
    char *token;
    struct error err;

    if (config_read_token(a, &token, &err) < 0) {
        /* The daemon's environment may differ from ours, so a missing variable is only a
         * warning. */
        check_say(r, by_file ? CHECK_FAIL : CHECK_WARN, "put the API token there", "%s", err.text);
        return;
    }
    check_say(r, CHECK_OK, "", "there is one in %s%s", by_file ? "" : "$",
              by_file ? a->token_file : a->token_env);
    secret_free(token);
}

static void judge_authority(const struct report *r, const char *setting, const char *path)
{
    struct error why;

    if (*path && cafile_test(path, &why) < 0)
        check_say(r, CHECK_FAIL, "put the authority's certificate there, or leave it empty",
                  "%s: %s", setting, why.text);
}

void check_authorities(const struct config_account *a, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "tls"};

    judge_authority(&r, "ca_file", a->ca_file);
    judge_authority(&r, "api_proxy_ca_file", a->api_proxy_ca_file);
}

bool check_redis_files(const struct redis_address *a, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "redis"};
    struct redis_address now;
    struct error why;
    int rc;

    redis_address_copy(a, &now);
    rc = redis_address_refresh(&now, &why);
    redis_address_deinit(&now);
    if (rc < 0)
        check_say(&r, CHECK_FAIL, "put it there, readable for the user that runs purgeline", "%s",
                  why.text);
    else if (a->ca_file)
        judge_authority(&r, "redis_tls.ca_file", a->ca_file);
    return rc == 0;
}

void check_files(const struct config_account *a, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "token"};
    char *auth;
    struct error err;

    judge_token(&r, a);
    r.subject = "proxy";
    if (config_read_proxy_auth(a, &auth, &err) < 0)
        check_say(&r, CHECK_FAIL, "put user:password there", "%s", err.text);
    else
        secret_free(auth);
    check_authorities(a, cb, ctx);
    r.subject = "service";
    if (a->services_count == 0)
        check_say(&r, CHECK_WARN, CONFIG_NO_SERVICE_REMEDY, "%s", CONFIG_NO_SERVICE);
}
