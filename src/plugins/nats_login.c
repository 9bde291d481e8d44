/* SPDX-License-Identifier: MIT */
#include "nats_login.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "secret.h"

#define CA_FILE "/etc/ssl/certs/ca-certificates.crt" /* Debian's */

/* Without a user, a password is a token. Without both, what is in the URL is used. */
static int set_password(natsOptions *o, const struct config_consumer *c, struct error *err)
{
    char *password = NULL;
    natsStatus status = NATS_OK;
    int rc = 0;

    if (*c->password_file)
        rc = secret_from_file(c->password_file, "password", secret_is_text_byte, &password, err);
    else if (*c->password_env)
        rc = secret_from_env(c->password_env, "password", secret_is_text_byte, &password, err);
    if (rc == 0 && password)
        status = *c->user ? natsOptions_SetUserInfo(o, c->user, password)
                          : natsOptions_SetToken(o, password);
    secret_free(password);
    if (status != NATS_OK)
        return error_set(err, -EINVAL, "user: %s", natsStatus_GetText(status));
    return rc;
}

/* A file with a seed alone needs the public key that belongs to it, which is the user. */
static int set_login(natsOptions *o, const struct config_consumer *c, struct error *err)
{
    natsStatus status;

    if (!*c->credentials_file)
        return set_password(o, c, err);
    if (access(c->credentials_file, R_OK) < 0)
        return error_set(err, -errno, "credentials_file: %s: %s", c->credentials_file,
                         strerror(errno));
    status = *c->user ? natsOptions_SetNKeyFromSeed(o, c->user, c->credentials_file)
                      : natsOptions_SetUserCredentialsFromFiles(o, c->credentials_file, NULL);
    return status == NATS_OK
               ? 0
               : error_set(err, -EINVAL, "credentials_file: %s", natsStatus_GetText(status));
}

static int set_tls(natsOptions *o, const struct config_consumer *c, struct error *err)
{
    const char *ca = *c->tls.ca_file ? c->tls.ca_file : CA_FILE;
    natsStatus status;

    if (!*c->tls.ca_file && !*c->tls.cert_file && !span_starts_nocase(span_str(c->url), "tls://"))
        return 0;
    status = natsOptions_SetSecure(o, true);
    if (status == NATS_OK)
        status = natsOptions_LoadCATrustedCertificates(o, ca);
    if (status != NATS_OK)
        return error_set(err, -EINVAL, "tls.ca_file: cannot use %s", ca);
    if (*c->tls.cert_file)
        status = natsOptions_LoadCertificatesChain(o, c->tls.cert_file, c->tls.key_file);
    return status == NATS_OK ? 0
                             : error_set(err, -EINVAL, "tls.cert_file: cannot use %s with key %s",
                                         c->tls.cert_file, c->tls.key_file);
}

int nats_login(natsOptions *o, const struct config_consumer *c, struct error *err)
{
    int rc = set_login(o, c, err);

    return rc < 0 ? rc : set_tls(o, c, err);
}
