/* SPDX-License-Identifier: MIT
 * Finds files and folders of the configuration that hold secrets or jobs and that other users of
 * this machine may read or change. */
#pragma once

#include "config.h"
#include "file.h"

struct exposure {
    const char *setting; /* "accounts[0].token_file" */
    const char *path;
    enum file_access access; /* not FILE_PRIVATE */
    const char *what;        /* "others may read" */
    const char *remedy;      /* "chmod 640 /etc/token" */
};

typedef void exposure_cb(void *ctx, const struct exposure *e);

/* Calls cb for each exposed file or folder. Missing files are not exposed. The embedded Redis'
 * folder is checked only if the embedded Redis is used. */
void exposure_look(const struct config *c, exposure_cb *cb, void *ctx);
