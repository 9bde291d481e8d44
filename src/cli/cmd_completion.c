/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cmd.h"
#include "completion.h"

const char cmd_completion_help[] =
    "usage: purgeline completion bash|zsh|fish\n"
    "       purgeline completion accounts|consumers [--config FILE]\n"
    "\n"
    "Prints a script that completes commands, options and names of accounts, for a shell into\n"
    "which it is not installed already. 'accounts' and 'consumers' print names in the\n"
    "configuration, one per line; the scripts use them.\n"
    "\n"
    "  -c, --config FILE    configuration (default: $PURGELINE_CONFIG, else\n"
    "                       /etc/purgeline/purgeline.yaml if there is one)\n"
    "  -h, --help           show this help\n"
    "\n"
    "examples:\n"
    "  source <(purgeline completion bash)\n"
    "  purgeline completion fish > ~/.config/fish/completions/purgeline.fish\n"
    "\n"
    "exit codes: 0 done; 2 wrong arguments or configuration\n";

static const struct {
    const char *name;
    void (*put)(struct buf *out);
} shells[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish}};

static int print_names(const struct cmd_common *o, bool accounts)
{
    struct config config;
    int rc = cmd_load(o, &config);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; accounts && i < config.accounts_count; i++)
        cmd_print("%s\n", config.accounts[i].name);
    for (uint32_t i = 0; !accounts && i < config.consumers_count; i++)
        cmd_print("%s\n", config.consumers[i].name);
    config_deinit(&config);
    return CMD_OK;
}

static int print(const struct cmd_common *o, const char *what)
{
    struct buf text;

    if (strcmp(what, "accounts") == 0 || strcmp(what, "consumers") == 0)
        return print_names(o, strcmp(what, "accounts") == 0);
    for (size_t i = 0; i < array_len(shells); i++) {
        if (strcmp(what, shells[i].name) != 0)
            continue;
        buf_init(&text, SIZE_MAX);
        shells[i].put(&text);
        cmd_print_text(buf_span(&text));
        buf_deinit(&text);
        return CMD_OK;
    }
    return cmd_fail(CMD_USAGE, "no completion for '%s', only for bash, zsh and fish", what);
}

int cmd_completion(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct cmd_common o = {0};
    int opt, rc;

    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&o, opt))
            break;
    rc = cmd_after_options("completion", opt, cmd_completion_help);
    if (rc != -1)
        return rc;
    if (argc - optind != 1)
        return cmd_fail(CMD_USAGE, "one argument is needed: bash, zsh or fish");
    return print(&o, argv[optind]);
}
