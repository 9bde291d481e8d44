/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "daemon.h"
#include "log.h"

const char cmd_run_help[] =
    "usage: purgeline run [OPTION...]\n"
    "\n"
    "Runs the dispatcher in the foreground until SIGTERM or SIGINT. Without a configuration it\n"
    "starts its own Redis, accepts connections from this machine only, and takes FASTLY_API_TOKEN\n"
    "and FASTLY_SERVICE_ID from the environment.\n"
    "\n"
    "  SIGTERM, SIGINT  finish requests in flight, release the lease and exit with 0; a second\n"
    "                   signal exits immediately, also without losing anything\n"
    "  SIGHUP           reload the configuration and the tokens; the log says what has changed,\n"
    "                   and which changes need a restart\n"
    "\n"
    "  -l, --log-level L    debug, info (default), warn or error; debug also has a line for each\n"
    "                       request to Fastly, each answer of Fastly and of Redis, and each "
    "answer\n"
    "                       over HTTP; never a token or a query\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  FASTLY_API_TOKEN=... FASTLY_SERVICE_ID=... purgeline run\n"
    "  purgeline run --config /etc/purgeline/purgeline.yaml\n"
    "\n"
    "exit codes: 0 stopped as asked; 1 cannot continue (the log says why); 2 bad configuration\n";

int cmd_run(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"redis", required_argument, NULL, 'r'},
        {"log-level", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct cmd_common common = {0};
    struct daemon_options o = {0};
    enum log_level level = LOG_INFO;
    int opt, code;

    while ((opt = getopt_long(argc, argv, "l:c:r:h", options, NULL)) != -1) {
        if (opt == 'l') {
            if (log_level_parse(optarg, &level) < 0)
                return cmd_fail(CMD_USAGE, "--log-level: debug, info, warn or error, not %s",
                                optarg);
        } else if (opt == 'h' || opt == '?' || !cmd_take_common(&common, opt)) {
            break;
        }
    }
    code = cmd_after_options("run", opt, cmd_run_help);
    if (code >= 0)
        return code;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument %s. Try: purgeline run --help",
                        argv[optind]);
    log_set_level(level);
    o.config_path = cmd_config_path(&common);
    o.redis = common.redis;
    return daemon_run(&o);
}
