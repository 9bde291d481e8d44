/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting.h"

/* struct sockaddr_un holds 108 bytes with the NUL: unix(7). */
#define UNIX_PATH_MAX_BYTES 107
#define SOCKET_NAME "/redis.sock"

const char *const lane_names[LANE_N] = {
    [LANE_URGENT] = "urgent", [LANE_NORMAL] = "normal", [LANE_BULK] = "bulk"};

int lane_parse(struct span name, enum lane *out)
{
    for (int i = 0; i < LANE_N; i++) {
        if (span_is(name, lane_names[i])) {
            *out = (enum lane)i;
            return 0;
        }
    }
    return -EINVAL;
}

void config_init(struct config *c)
{
    *c = (struct config){0};
    setting_set_defaults(SETTING_GLOBAL, c);
}

void config_account_init(struct config_account *a)
{
    *a = (struct config_account){0};
    setting_set_defaults(SETTING_ACCOUNT, a);
}

bool config_redis_embedded(const struct config *c)
{
    return strcmp(c->redis, "embedded") == 0;
}

char *config_redis_url(const struct config *c)
{
    if (config_redis_embedded(c))
        return alloc_printf("unix://%s" SOCKET_NAME, c->data_dir);
    return alloc_str(c->redis);
}

uint64_t config_burst(const struct config_budget *b)
{
    return b->burst ? b->burst : max_u64(b->purges / 20, 1);
}

const struct config_account *config_account(const struct config *c, const char *name)
{
    if (!name)
        return c->accounts_count == 1 ? &c->accounts[0] : NULL;
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (strcmp(c->accounts[i].name, name) == 0)
            return &c->accounts[i];
    return NULL;
}

const struct config_lane *config_lane(const struct config_account *a, enum lane lane)
{
    const struct config_lane *const lanes[LANE_N] = {
        [LANE_URGENT] = &a->urgent, [LANE_NORMAL] = &a->normal, [LANE_BULK] = &a->bulk};

    return lanes[lane];
}

static void account_deinit(struct config_account *a)
{
    free(a->name);
    free(a->api);
    free(a->ca_file);
    free(a->token_file);
    free(a->token_env);
    free(a->default_service);
    config_services_free(a);
    config_hosts_free(a);
}

void config_deinit(struct config *c)
{
    for (uint32_t i = 0; i < c->accounts_count; i++)
        account_deinit(&c->accounts[i]);
    free(c->accounts);
    free(c->redis);
    free(c->data_dir);
    free(c->listen);
    *c = (struct config){0};
}

/* -- checks that need more than one setting -- */

struct complaint {
    char *err;
    size_t room;
    uint32_t account; /* which one is looked at */
};

static int complain(const struct complaint *c, const char *setting, const char *fmt, ...)
    print_like(3, 4);

static int complain(const struct complaint *c, const char *setting, const char *fmt, ...)
{
    int n = snprintf(c->err, c->room, "accounts[%u].%s: ", c->account, setting);
    va_list ap;

    if (n > 0 && (size_t)n < c->room) {
        va_start(ap, fmt);
        vsnprintf(c->err + n, c->room - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

/* One word must mean one service, whether it is an id or a name. */
static int check_services(const struct complaint *c, const struct config_account *a)
{
    for (uint32_t i = 0; i < a->services_count; i++) {
        const struct config_service *s = &a->services[i];

        for (uint32_t k = 0; k < i; k++) {
            const struct config_service *t = &a->services[k];

            if (strcmp(s->id, t->id) == 0 || strcmp(s->id, t->name) == 0)
                return complain(c, "services", "'%s' stands there twice", s->id);
            if (*s->name && (strcmp(s->name, t->name) == 0 || strcmp(s->name, t->id) == 0))
                return complain(c, "services", "'%s' stands there twice", s->name);
        }
    }
    return 0;
}

static int check_default_service(const struct complaint *c, const struct config_account *a)
{
    if (!*a->default_service)
        return 0;
    for (uint32_t i = 0; i < a->services_count; i++)
        if (strcmp(a->default_service, a->services[i].id) == 0 ||
            strcmp(a->default_service, a->services[i].name) == 0)
            return 0;
    return complain(c, "default_service", "'%s' is not among the services", a->default_service);
}

static int check_budget(const struct complaint *c, const struct config_account *a)
{
    const struct config_budget *b = &a->budget;

    if (b->headroom >= b->purges)
        return complain(c, "budget.headroom", "expected less than purges (%llu), found %llu",
                        (unsigned long long)b->purges, (unsigned long long)b->headroom);
    if (b->burst > b->purges)
        return complain(c, "budget.burst", "expected at most purges (%llu), found %llu",
                        (unsigned long long)b->purges, (unsigned long long)b->burst);
    return 0;
}

static int check_account(const struct complaint *c, const struct config_account *a)
{
    int rc = check_services(c, a);

    if (rc == 0)
        rc = check_default_service(c, a);
    if (rc == 0)
        rc = check_budget(c, a);
    if (rc < 0)
        return rc;
    if (a->url_mode == URL_MODE_DIRECT && a->direct_hosts_count == 0)
        return complain(c, "direct_hosts", "url_mode: direct needs the hosts it may contact");
    if (!*a->token_file && !*a->token_env && a->url_mode == URL_MODE_API)
        return complain(c, "token_env",
                        "one of token_file and token_env must say where the token is");
    return 0;
}

static int check_names(const struct config *c, char *err, size_t err_room)
{
    for (uint32_t i = 0; i < c->accounts_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(c->accounts[i].name, c->accounts[k].name) == 0)
                return complain(&(struct complaint){err, err_room, i}, "name",
                                "'%s' is the name of accounts[%u] already", c->accounts[i].name, k);
    return 0;
}

int config_validate(const struct config *c, char *err, size_t err_room)
{
    int rc;

    if (c->accounts_count < 1 || c->accounts_count > CONFIG_ACCOUNTS_MAX) {
        snprintf(err, err_room, "accounts: expected 1 to %d accounts, found %u",
                 CONFIG_ACCOUNTS_MAX, c->accounts_count);
        return -EINVAL;
    }
    if (config_redis_embedded(c) &&
        strlen(c->data_dir) + strlen(SOCKET_NAME) > UNIX_PATH_MAX_BYTES) {
        snprintf(err, err_room,
                 "data_dir: expected at most %d bytes, as the path of a socket in it "
                 "must not be longer",
                 UNIX_PATH_MAX_BYTES - (int)strlen(SOCKET_NAME));
        return -EINVAL;
    }
    rc = check_names(c, err, err_room);
    for (uint32_t i = 0; rc == 0 && i < c->accounts_count; i++)
        rc = check_account(&(struct complaint){err, err_room, i}, &c->accounts[i]);
    return rc;
}
