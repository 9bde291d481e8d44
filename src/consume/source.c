/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "source_plugin.h"

#define PATH_ROOM 4096

/* Next to the program, as in a build folder. False if this cannot be found out. */
static bool beside_program(const char *file, char out[PATH_ROOM])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_ROOM - 1);
    char *slash;

    if (n <= 0)
        return false;
    out[n] = '\0';
    slash = strrchr(out, '/');
    if (!slash || (size_t)(slash + 1 - out) + strlen(file) >= PATH_ROOM)
        return false;
    memcpy(slash + 1, file, strlen(file) + 1);
    return access(out, R_OK) == 0;
}

/* Checks that both sides were built from the same sources. */
static const struct message_source *accept_plugin(const struct source_plugin *p, const char *path,
                                                  struct error *err)
{
    const struct source_plugin ours = SOURCE_PLUGIN(NULL);

    if (p && p->abi == ours.abi && p->message_size == ours.message_size &&
        p->settings_size == ours.settings_size && strcmp(p->version, ours.version) == 0)
        return p->source;
    error_set(err, -EINVAL, "source: %s is not of this version of purgeline", path);
    return NULL;
}

/* Plugins stay loaded until the process ends. */
static const struct message_source *load(const char *name, struct error *err)
{
    char *file = alloc_printf("source-%s.so", name), path[PATH_ROOM];
    const struct message_source *source = NULL;
    void *library;

    if (!beside_program(file, path))
        snprintf(path, sizeof(path), "%s/%s", PLUGIN_FOLDER, file);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library)
        source = accept_plugin(dlsym(library, SOURCE_PLUGIN_SYMBOL), path, err);
    else
        error_set(err, -ENOENT, "source: %s needs %s: %s", name, file, dlerror());
    free(file);
    return source;
}

const struct message_source *source_of(const struct config_consumer *c, struct error *err)
{
    switch (c->source) {
    case CONSUMER_REDIS_STREAM:
        return &source_redis_stream;
    case CONSUMER_POSTGRES:
        return load("postgres", err);
    case CONSUMER_AMQP:
        return load("amqp", err);
    case CONSUMER_NATS:
        return load("nats", err);
    case CONSUMER_KAFKA:
        return load("kafka", err);
    case CONSUMER_REDIS_LIST:
    default:
        return &source_redis_list;
    }
}
