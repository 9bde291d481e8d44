/* SPDX-License-Identifier: MIT
 * What a source in a shared object of its own exports, so that the library that it needs is loaded
 * only when it is used: a struct source_plugin with the name purgeline_source. */
#pragma once

#include "source.h"

#define SOURCE_PLUGIN_ABI 3u
#define SOURCE_PLUGIN_SYMBOL "purgeline_source"

struct source_plugin {
    uint32_t abi;                         /* SOURCE_PLUGIN_ABI; must stay the first member */
    uint32_t message_size, settings_size; /* of the structs that both sides use */
    const char *version;                  /* must be that of the program */
    const struct message_source *source;
};

#define SOURCE_PLUGIN(source_)                                                                     \
    {                                                                                              \
        SOURCE_PLUGIN_ABI, sizeof(struct source_message), sizeof(struct config_consumer),          \
            PURGELINE_VERSION, (source_)                                                           \
    }

__attribute__((visibility("default"))) extern const struct source_plugin purgeline_source;
