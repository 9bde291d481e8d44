/* SPDX-License-Identifier: MIT */
#include "config_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "config_read.h"
#include "config_tree.h"
#include "config_yaml.h"
#include "file.h"
#include "redis_config.h"
#include "secret.h"
#include "target.h"

#define FILE_MAX_BYTES (1024 * 1024)
#define SYSTEM_DATA_DIR "/var/lib/purgeline"

/* Where the values come from, for error messages. */
struct source {
    const char *path;  /* NULL: no file */
    const char *redis; /* of --redis; NULL: not given */
    struct config_tree tree;
    struct error *err;
};

static int say_setting(struct source *src, const char *path, const char *why)
{
    unsigned line = config_tree_line(src->tree.root, path);

    if (line)
        return error_set(src->err, -EINVAL, "%s:%u: %s: %s", src->path, line, path, why);
    return error_set(src->err, -EINVAL, "%s%s%s: %s", src->path ? src->path : "",
                     src->path ? ": " : "", path, why);
}

/* -- the file -- */

static int apply_file(struct source *src, struct config *c)
{
    struct config_mistake mistake;
    struct buf text;
    int rc;

    buf_init(&text, FILE_MAX_BYTES);
    rc = file_read(src->path, &text);
    if (rc < 0) {
        error_set(src->err, rc, "%s: cannot read it: %s", src->path,
                  rc == -EMSGSIZE ? "longer than 1 MiB" : strerror(-rc));
    } else {
        rc = config_tree_parse(&src->tree, buf_span(&text), &mistake);
        if (rc == 0 && src->tree.root)
            rc = config_read(src->tree.root, c, &mistake);
        if (rc < 0)
            error_set(src->err, rc, "%s:%u: %s", src->path, mistake.line, mistake.text);
    }
    buf_deinit(&text);
    return rc;
}

/* -- the environment -- */

static int apply_variable(struct source *src, const struct setting *s, struct config *c)
{
    char name[128];
    struct error why;
    const char *value;
    void *base = c;

    value = setting_env_name(s, name, sizeof(name)) ? getenv(name) : NULL;
    if (!value)
        return 0;
    if (s->scope == SETTING_ACCOUNT) {
        if (c->accounts_count != 1)
            return error_set(
                src->err, -EINVAL,
                "%s: there are %u accounts; only in the file can it be said which is meant", name,
                c->accounts_count);
        base = &c->accounts[0];
    }
    if (setting_set(s, base, value, &why) == 0)
        return 0;
    return error_set(src->err, -EINVAL, "%s: %s", name, why.text);
}

/* Applies the environment variable of Fastly's own tools, only to an account without a configured
 * service. */
static int apply_service_id(struct source *src, struct config *c)
{
    const char *id = getenv("FASTLY_SERVICE_ID");

    if (!id || !*id || c->accounts_count != 1 || c->accounts[0].services_count)
        return 0;
    if (config_services_add(&c->accounts[0], span_str(id), SPAN("")) == 0)
        return 0;
    return error_set(src->err, -EINVAL, "FASTLY_SERVICE_ID: expected 1 to %d letters and digits",
                     SERVICE_ID_MAX_BYTES);
}

static int apply_environment(struct source *src, struct config *c)
{
    size_t count;
    const struct setting *table = setting_table(&count);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = apply_variable(src, &table[i], c);
    return rc < 0 ? rc : apply_service_id(src, c);
}

/* The XDG folder is for "state data that should persist between (application) restarts":
 * https://specifications.freedesktop.org/basedir-spec/latest/ */
static char *default_data_dir(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (geteuid() == 0 || access(SYSTEM_DATA_DIR, W_OK) == 0)
        return alloc_str(SYSTEM_DATA_DIR);
    if (state && *state == '/')
        return alloc_printf("%s/purgeline", state);
    if (home && *home == '/')
        return alloc_printf("%s/.local/state/purgeline", home);
    return alloc_str(SYSTEM_DATA_DIR);
}

/* -- loading -- */

/* Reports "setting: why", with where the value comes from. */
static int say_wrong(struct source *src, struct error *wrong)
{
    char *colon = strstr(wrong->text, ": "), name[128];
    const struct setting *s;

    must(colon != NULL);
    *colon = '\0';
    s = setting_find(SETTING_GLOBAL, wrong->text);
    if (src->redis && strcmp(wrong->text, "redis") == 0)
        return error_set(src->err, -EINVAL, "--redis: %s", colon + 2);
    if (s && setting_env_name(s, name, sizeof(name)) && getenv(name))
        return error_set(src->err, -EINVAL, "%s: %s", name, colon + 2);
    return say_setting(src, wrong->text, colon + 2);
}

static int check(struct source *src, const struct config *c)
{
    struct redis_address address;
    struct error why;

    if (config_validate(c, &why) < 0 || redis_config_address(c, &address, &why) < 0)
        return say_wrong(src, &why);
    redis_address_deinit(&address);
    return 0;
}

static int apply_redis(struct source *src, struct config *c)
{
    struct error why;

    if (!src->redis || setting_set(setting_find(SETTING_GLOBAL, "redis"), c, src->redis, &why) == 0)
        return 0;
    return error_set(src->err, -EINVAL, "--redis: %s", why.text);
}

static int fill(struct source *src, struct config *c)
{
    int rc = src->path ? apply_file(src, c) : 0;

    if (rc == 0 && c->accounts_count == 0)
        setting_list_add(SETTING_ACCOUNT, c);
    if (rc == 0)
        rc = apply_environment(src, c);
    if (rc == 0)
        rc = apply_redis(src, c);
    if (rc == 0 && !*c->data_dir) {
        free(c->data_dir);
        c->data_dir = default_data_dir();
    }
    return rc < 0 ? rc : check(src, c);
}

int config_load(const char *path, const char *redis, struct config *out, struct error *err)
{
    struct source src = {.path = path, .redis = redis, .err = err};
    struct config c;
    int rc;

    config_init(&c);
    rc = fill(&src, &c);
    config_tree_deinit(&src.tree);
    if (rc < 0)
        config_deinit(&c);
    else
        *out = c;
    return rc;
}

void config_print_sample(FILE *out)
{
    struct config c;
    struct buf text;

    config_init(&c);
    setting_list_add(SETTING_ACCOUNT, &c);
    buf_init(&text, FILE_MAX_BYTES);
    buf_printf(&text,
               "# purgeline: every setting with its default, what is allowed, and the environment\n"
               "# variable that overrides it (settings of an account: when there is only one).\n");
    config_yaml(&c, CONFIG_YAML_EXPLAINED, &text);
    fwrite(text.p, 1, text.n, out);
    buf_deinit(&text);
    config_deinit(&c);
}

/* -- tokens and secrets -- */

struct secret_source {
    const char *what, *noun;  /* "token"; "account" */
    const char *owner;        /* the owner's name */
    const char *file, *env;   /* where the secret is; "" = not set */
    const char *fallback_env; /* the variable that the error message suggests if env is "" */
    secret_byte_cb *byte_ok;
};

static int read_secret(const struct secret_source *s, char **out, struct error *err)
{
    if (*s->file)
        return secret_from_file(s->file, s->what, s->byte_ok, out, err);
    if (!*s->env || !getenv(s->env))
        return error_set(err, -ENOENT, "%s %s: no %s: set %s%s or %s_file", s->noun, s->owner,
                         s->what, *s->env ? "$" : "", *s->env ? s->env : s->fallback_env, s->what);
    return secret_from_env(s->env, s->what, s->byte_ok, out, err);
}

int config_read_token(const struct config_account *a, char **token, struct error *err)
{
    const struct secret_source s = {.what = "token",
                                    .noun = "account",
                                    .owner = a->name,
                                    .file = a->token_file,
                                    .env = a->token_env,
                                    .fallback_env = "$FASTLY_API_TOKEN",
                                    .byte_ok = secret_is_header_byte};

    return read_secret(&s, token, err);
}

int config_read_proxy_auth(const struct config_account *a, char **auth, struct error *err)
{
    char *text;
    int rc;

    if (!*a->api_proxy_auth_file) {
        *auth = alloc_str("");
        return 0;
    }
    rc = secret_from_file(a->api_proxy_auth_file, "user and password of the proxy",
                          secret_is_text_byte, &text, err);
    if (rc < 0)
        return rc;
    if (!strchr(text, ':')) {
        secret_free(text);
        return error_set(err, -EINVAL, "%s: expected user:password", a->api_proxy_auth_file);
    }
    *auth = text;
    return 0;
}

int config_read_secret(const struct config_hook *h, char **secret, struct error *err)
{
    const struct secret_source s = {
        .what = "secret",
        .noun = "hook",
        .owner = h->name,
        .file = h->secret_file,
        .env = h->secret_env,
        .fallback_env = "secret_env",
        .byte_ok = h->signature.scheme == HOOK_TOKEN ? secret_is_header_byte : secret_is_text_byte};

    return read_secret(&s, secret, err);
}
