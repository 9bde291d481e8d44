/* SPDX-License-Identifier: MIT */
#include "account_endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cafile.h"
#include "config_file.h"
#include "error.h"
#include "log.h"
#include "sender.h"

#define USER_AGENT "purgeline/" PURGELINE_VERSION

static void wipe_text(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* Logs one thing that keeps an account from being purged. The first one is also what /readyz and
 * status say, until a reload finds it mended. */
static void find_fault(const struct config_account *a, struct error *fault, const char *what,
                       const char *why, const char *remedy)
{
    log_error(what, "account=%s why=\"%s\" remedy=\"%s\"", a->name, why, remedy);
    if (!*fault->text)
        (void)error_set(fault, -EINVAL, "account %s: %s: %s; %s", a->name, what, why, remedy);
}

/* Logs all problems at once; otherwise the purges would reveal them one by one. */
static void look_at_account(const struct config_account *a, struct error *fault)
{
    struct error why;

    if (*a->ca_file && cafile_test(a->ca_file, &why) < 0)
        find_fault(a, fault, "The ca_file of this account is unusable, so no purge can be sent",
                   why.text, "fix it, then reload");
    if (*a->api_proxy_ca_file && cafile_test(a->api_proxy_ca_file, &why) < 0)
        find_fault(a, fault,
                   "The api_proxy_ca_file of this account is unusable, so no purge can be sent",
                   why.text, "fix it, then reload");
    if (a->services_count == 0)
        log_warn("The account has no service: only URLs can be purged; jobs with keys become dead "
                 "letters",
                 "account=%s remedy=\"%s\"", a->name, CONFIG_NO_SERVICE_REMEDY);
}

static char *read_token(const struct config_account *a, struct error *fault)
{
    struct error why;
    char *token = NULL, remedy[600];

    if (config_read_token(a, &token, &why) == 0)
        return token;
    config_token_remedy(a, remedy, sizeof(remedy));
    find_fault(a, fault,
               "The account has no token: Fastly will refuse its purges; they are kept until there "
               "is one",
               why.text, remedy);
    return NULL;
}

static char *read_proxy_auth(const struct config_account *a, struct error *fault)
{
    struct error why;
    char *proxy_auth = NULL;

    if (config_read_proxy_auth(a, &proxy_auth, &why) == 0)
        return proxy_auth;
    find_fault(a, fault,
               "The user and password for the proxy of this account cannot be read; the proxy will "
               "refuse its requests",
               why.text, "fix api_proxy_auth_file, then reload");
    return NULL;
}

struct endpoint *account_endpoint(const struct config_account *a)
{
    struct error fault = {""};
    struct endpoint_options o = {.api = a->api,
                                 .ca_file = a->ca_file,
                                 .proxy = a->api_proxy,
                                 .proxy_ca_file = a->api_proxy_ca_file,
                                 .user_agent = USER_AGENT,
                                 .connect_timeout_ms = a->connect_timeout_ms,
                                 .timeout_ms = a->timeout_ms,
                                 .fault = fault.text};
    struct endpoint *e;
    char *token, *proxy_auth;

    look_at_account(a, &fault);
    token = read_token(a, &fault);
    proxy_auth = read_proxy_auth(a, &fault);
    o.token = token ? token : "";
    o.proxy_auth = proxy_auth ? proxy_auth : "";
    e = endpoint_new(&o);
    wipe_text(token);
    wipe_text(proxy_auth);
    return e;
}
