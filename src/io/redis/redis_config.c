/* SPDX-License-Identifier: MIT */
#include "redis_config.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"

static char *text_or_null(const char *text)
{
    return *text ? alloc_str(text) : NULL;
}

static int add_tls(const struct config_redis_tls *tls, struct redis_address *a, struct error *err)
{
    const char *given = *tls->ca_file     ? "ca_file"
                        : *tls->cert_file ? "cert_file"
                        : *tls->key_file  ? "key_file"
                                          : NULL;

    if (given && !a->tls)
        return error_set(err, -EINVAL, "redis_tls.%s: the URL of Redis has no TLS: use rediss://",
                         given);
    if (*tls->cert_file && !*tls->key_file)
        return error_set(err, -EINVAL,
                         "redis_tls.key_file: cert_file needs the key that belongs to it");
    if (*tls->key_file && !*tls->cert_file)
        return error_set(err, -EINVAL,
                         "redis_tls.cert_file: key_file needs the certificate that belongs to it");
    a->ca_file = text_or_null(tls->ca_file);
    a->cert_file = text_or_null(tls->cert_file);
    a->key_file = text_or_null(tls->key_file);
    return 0;
}

/* Checks one login, given by the settings redis_auth.<prefix>user, <prefix>password_file and
 * <prefix>password_env. *given is set if there is one. */
static int check_login(const char *prefix, const char *user, const char *file, const char *env,
                       bool *given, struct error *err)
{
    if (*file && *env)
        return error_set(err, -EINVAL,
                         "redis_auth.%spassword_env: %spassword_file is set, too; only one of them "
                         "may be",
                         prefix, prefix);
    *given = *file || *env;
    if (*user && !*given)
        return error_set(err, -EINVAL,
                         "redis_auth.%suser: a user needs a password: set %spassword_file or "
                         "%spassword_env",
                         prefix, prefix, prefix);
    return 0;
}

static int add_login(const struct config_redis_auth *auth, struct redis_address *a,
                     struct error *err)
{
    bool given = false;
    int rc = check_login("", auth->user, auth->password_file, auth->password_env, &given, err);

    if (rc < 0 || !given)
        return rc;
    if (a->password)
        return error_set(err, -EINVAL,
                         "redis_auth.%s: the URL of Redis has a password, too; only one of them "
                         "may have it",
                         *auth->password_file ? "password_file" : "password_env");
    a->user = text_or_null(auth->user);
    a->password_file = text_or_null(auth->password_file);
    a->password_env = text_or_null(auth->password_env);
    return 0;
}

static int add_sentinel_login(const struct config_redis_auth *auth, struct redis_address *a,
                              struct error *err)
{
    bool given = false;
    int rc = check_login("sentinel_", auth->sentinel_user, auth->sentinel_password_file,
                         auth->sentinel_password_env, &given, err);

    if (rc < 0 || !given)
        return rc;
    if (!a->master)
        return error_set(
            err, -EINVAL,
            "redis_auth.%s: the URL of Redis names no sentinels: use redis+sentinel://",
            *auth->sentinel_password_file ? "sentinel_password_file" : "sentinel_password_env");
    a->sentinel_user = text_or_null(auth->sentinel_user);
    a->sentinel_password_file = text_or_null(auth->sentinel_password_file);
    a->sentinel_password_env = text_or_null(auth->sentinel_password_env);
    return 0;
}

int redis_config_address_at(const struct config *c, const char *url, struct redis_address *out,
                            struct error *err)
{
    struct redis_address a;
    struct error why;
    int rc = redis_address_parse(url, &a, &why);

    if (rc < 0)
        return error_set(err, rc, "redis: %s", why.text);
    rc = add_tls(&c->redis_tls, &a, err);
    if (rc == 0)
        rc = add_login(&c->redis_auth, &a, err);
    if (rc == 0)
        rc = add_sentinel_login(&c->redis_auth, &a, err);
    if (rc < 0) {
        redis_address_deinit(&a);
        return rc;
    }
    a.replicas = c->redis_replicas;
    *out = a;
    return 0;
}

/* The embedded Redis has neither TLS nor a login. */
static int refuse_for_embedded(const struct config *c, struct error *err)
{
    const struct {
        const char *name, *value;
    } others[] = {
        {"redis_tls.ca_file", c->redis_tls.ca_file},
        {"redis_tls.cert_file", c->redis_tls.cert_file},
        {"redis_tls.key_file", c->redis_tls.key_file},
        {"redis_auth.user", c->redis_auth.user},
        {"redis_auth.password_file", c->redis_auth.password_file},
        {"redis_auth.password_env", c->redis_auth.password_env},
        {"redis_auth.sentinel_user", c->redis_auth.sentinel_user},
        {"redis_auth.sentinel_password_file", c->redis_auth.sentinel_password_file},
        {"redis_auth.sentinel_password_env", c->redis_auth.sentinel_password_env},
    };

    for (size_t i = 0; i < array_len(others); i++)
        if (*others[i].value)
            return error_set(err, -EINVAL, "%s: it is for a Redis elsewhere, and redis is embedded",
                             others[i].name);
    return 0;
}

int redis_config_address(const struct config *c, struct redis_address *out, struct error *err)
{
    int rc = config_redis_embedded(c) ? refuse_for_embedded(c, err) : 0;
    char *url = config_redis_url(c);

    if (rc == 0)
        rc = redis_config_address_at(c, url, out, err);
    free(url);
    return rc;
}
