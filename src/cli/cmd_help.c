/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "commands.h"
#include "manual.h"
#include "suggest.h"

const char cmd_help_help[] =
    "usage: purgeline help [COMMAND]\n"
    "       purgeline help --man COMMAND\n"
    "\n"
    "Shows the help of a command; without one, the list of all commands.\n"
    "\n"
    "      --man            print the manual page of the command, for man\n"
    "  -h, --help           show this help\n"
    "\n"
    "examples:\n"
    "  purgeline help push\n"
    "  purgeline help --man push | man -l -\n"
    "\n"
    "exit codes: 0 done; 2 there is no such command\n";

void cmd_overview(struct buf *out)
{
    buf_printf(out, "purgeline " PURGELINE_VERSION
                    ": queue, merge, batch and rate-limit purges for Fastly\n"
                    "\n"
                    "usage: purgeline COMMAND [OPTION...] [ARGUMENT...]\n"
                    "\n");
    for (size_t i = 0; i < subcommands_count; i++)
        buf_printf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].sentence);
    buf_printf(out,
               "\n"
               "start here:\n"
               "  FASTLY_API_TOKEN=... FASTLY_SERVICE_ID=... purgeline run\n"
               "  purgeline push article-17 home\n"
               "  purgeline status\n"
               "\n"
               "exit codes: 0 done; 1 failed or refused, wholly or partly; 2 wrong arguments or\n"
               "configuration; 3 Redis cannot be reached; 4 timed out\n");
}

int cmd_unknown(const char *name)
{
    const char **names = calloc(subcommands_count, sizeof(*names)), *meant;

    must(names);
    for (size_t i = 0; i < subcommands_count; i++)
        names[i] = subcommands[i].name;
    meant = suggest_word(name, names, subcommands_count);
    cmd_tell("purgeline: no command '%s'", name);
    if (meant)
        cmd_tell("; did you mean '%s'?", meant);
    cmd_tell("\nTry 'purgeline help'.\n");
    free(names);
    return CMD_USAGE;
}

static void show(const struct subcommand *c, bool manual)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    if (manual)
        manual_page(&text, c);
    else if (c)
        buf_printf(&text, "%s", c->help);
    else
        cmd_overview(&text);
    cmd_print_text(buf_span(&text));
    buf_deinit(&text);
}

int cmd_help(int argc, char **argv)
{
    static const struct option options[] = {
        {"man", no_argument, NULL, 'm'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const struct subcommand *c = NULL;
    bool manual = false;
    int opt, rc;

    while ((opt = getopt_long(argc, argv, "h", options, NULL)) == 'm')
        manual = true;
    rc = cmd_after_options("help", opt, cmd_help_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        c = subcommand_find(argv[optind]);
    if (optind < argc && !c)
        return cmd_unknown(argv[optind]);
    if (manual && !c)
        return cmd_fail(CMD_USAGE, "--man needs the name of a command");
    show(c, manual);
    return CMD_OK;
}
