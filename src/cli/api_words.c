/* SPDX-License-Identifier: MIT */
#include "api_words.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

void api_words(const json_t *doc, char *out, size_t room)
{
    const char *msg = json_string_value(json_object_get(doc, "msg"));
    const char *detail = json_string_value(json_object_get(doc, "detail"));
    char all[256], shown[300];

    snprintf(all, sizeof(all), "%s%s%s", msg ? msg : "", msg && detail ? ": " : "",
             detail ? detail : "");
    snprintf(out, room, "%s%s", *all ? ": " : "",
             log_quote(shown, sizeof(shown), all, strlen(all)));
}
