/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>

#include "buf.h"
#include "cmd.h"
#include "local_get.h"

const char cmd_ready_help[] =
    "usage: purgeline ready [OPTION...]\n"
    "\n"
    "Asks the daemon of this machine or container for /readyz, at the first address of `listen`\n"
    "in the configuration, and prints its answer. This is the health check of a container: it\n"
    "needs no shell, no other program, no token and no connection to Redis.\n"
    "\n"
    "      --live           ask for /livez: whether the daemon makes progress. A Redis that is\n"
    "                       away does not matter then\n"
    "      --timeout T      how long to wait for the answer, like 500ms or 5s (default: 5s)\n"
    "  -c, --config FILE    configuration (default: $PURGELINE_CONFIG, else\n"
    "                       /etc/purgeline/purgeline.yaml if there is one)\n"
    "  -j, --json           print the answer as JSON\n"
    "  -h, --help           show this help\n"
    "\n"
    "examples:\n"
    "  purgeline ready\n"
    "  podman exec purgeline purgeline ready --live\n"
    "\n"
    "exit codes: 0 ready; 1 not ready, or there is no answer; 2 wrong arguments or\n"
    "configuration\n";

enum long_only { OPT_LIVE = 256, OPT_TIMEOUT };

#define ANSWER_MAX_BYTES (64 * 1024)
#define DEFAULT_TIMEOUT_MS 5000
#define TIMEOUT_MAX_MS (3600 * 1000)

struct asking {
    struct cmd_common common;
    const char *path;
    uint64_t timeout_ms;
};

/* Returns -1 to go on, or an exit code. */
static int take_options(struct asking *a, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"live", no_argument, NULL, OPT_LIVE},
                                            {"timeout", required_argument, NULL, OPT_TIMEOUT},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int opt, code;

    while ((opt = getopt_long(argc, argv, "c:jh", options, NULL)) != -1) {
        if (opt == OPT_LIVE)
            a->path = "/livez";
        else if (opt == OPT_TIMEOUT) {
            if (cmd_parse_duration(optarg, &a->timeout_ms) < 0 || a->timeout_ms == 0 ||
                a->timeout_ms > TIMEOUT_MAX_MS)
                return cmd_fail(CMD_USAGE, "--timeout: expected a time from 1ms to 1h, not '%s'",
                                optarg);
        } else if (opt == 'h' || !cmd_take_common(&a->common, opt))
            break;
    }
    code = cmd_after_options("ready", opt, cmd_ready_help);
    if (code == -1 && optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument '%s'", argv[optind]);
    return code;
}

/* The endpoint says `status` when all is well, and `detail` otherwise: RFC 9457. */
static int tell(const struct asking *a, int status, struct span body)
{
    json_t *answer = json_loadb(body.p, body.n, 0, NULL);
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    int code = status == 200 ? CMD_OK : CMD_FAILED;

    if (!json_is_object(answer))
        code =
            cmd_fail(CMD_FAILED, "something that is not purgeline answers, with status %d", status);
    else if (a->common.json)
        cmd_print_json(answer, CMD_JSON_LINE);
    else if (status == 200)
        cmd_print("ok\n");
    else
        code = cmd_fail(CMD_FAILED, "%s", detail ? detail : "the endpoint does not say why");
    json_decref(answer);
    return code;
}

int cmd_ready(int argc, char **argv)
{
    struct asking a = {.path = "/readyz", .timeout_ms = DEFAULT_TIMEOUT_MS};
    struct config config;
    struct buf body;
    struct error err;
    int code = take_options(&a, argc, argv), status = 0, rc;

    if (code == -1)
        code = cmd_load(&a.common, &config);
    else
        return code;
    if (code != 0)
        return code;
    buf_init(&body, ANSWER_MAX_BYTES);
    rc = local_get(&config, a.path, a.timeout_ms, &status, &body, &err);
    if (rc < 0)
        code = cmd_fail(rc == -EINVAL ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    else
        code = tell(&a, status, span_of(body.p, body.n));
    buf_deinit(&body);
    config_deinit(&config);
    return code;
}
