/* SPDX-License-Identifier: MIT
 * fish: https://fishshell.com/docs/current/cmds/complete.html */
#include "completion.h"

struct fish {
    struct buf *out;
    const char *command;
};

/* complete -c purgeline -n '__fish_seen_subcommand_from push' -s f -l file -r -F -d 'read ...' */
static void put_option(void *ctx, const struct help_option *o)
{
    const struct fish *f = ctx;
    const char *words;
    enum completion_kind kind = completion_of(o, &words);

    for (size_t i = 0; i < array_len(o->names) && o->names[i].n; i++) {
        buf_printf(f->out, "complete -c purgeline -n '__fish_seen_subcommand_from %s'", f->command);
        if (o->letter && i == 0)
            buf_printf(f->out, " -s %c", o->letter);
        buf_printf(f->out, " -l %.*s", (int)o->names[i].n, o->names[i].p);
        if (kind == COMPLETION_FILE)
            buf_printf(f->out, " -r -F");
        else if (kind == COMPLETION_ACCOUNT)
            buf_printf(f->out, " -x -a '(__purgeline_names accounts)'");
        else if (kind == COMPLETION_WORDS)
            buf_printf(f->out, " -x -a '%s'", words);
        else if (o->argument.n && !o->argument_optional)
            buf_printf(f->out, " -x");
        buf_printf(f->out, " -d ");
        completion_quoted(f->out, o->description);
        buf_putc(f->out, '\n');
    }
}

static void put_first(struct buf *out, const struct subcommand *c)
{
    if (c->first == FIRST_WORD)
        buf_printf(out,
                   "complete -c purgeline -n '__fish_seen_subcommand_from %s; and not "
                   "__fish_seen_subcommand_from %s' -a '%s'\n",
                   c->name, c->words, c->words);
    else if (c->first == FIRST_CONSUMER)
        buf_printf(out,
                   "complete -c purgeline -n '__fish_seen_subcommand_from %s' -a "
                   "'(__purgeline_names consumers)'\n",
                   c->name);
    for (size_t i = 0; c->first == FIRST_COMMAND && i < subcommands_count; i++)
        buf_printf(out, "complete -c purgeline -n '__fish_seen_subcommand_from %s' -a %s\n",
                   c->name, subcommands[i].name);
}

static const char fish_head[] =
    "# Completion of purgeline for fish, generated: purgeline completion fish\n"
    "\n"
    "function __purgeline_names\n"
    "    set -l words (commandline -opc)\n"
    "    set -l config\n"
    "    for i in (seq (count $words))\n"
    "        switch $words[$i]\n"
    "            case -c --config\n"
    "                set config --config=$words[(math $i + 1)]\n"
    "            case '--config=*'\n"
    "                set config $words[$i]\n"
    "        end\n"
    "    end\n"
    "    purgeline completion $argv[1] $config 2>/dev/null\n"
    "end\n"
    "\n"
    "complete -c purgeline -f\n"
    "complete -c purgeline -n __fish_use_subcommand -s h -l help -d 'show the commands'\n"
    "complete -c purgeline -n __fish_use_subcommand -s V -l version -d 'show the version'\n";

void completion_fish(struct buf *out)
{
    buf_printf(out, "%s", fish_head);
    for (size_t i = 0; i < subcommands_count; i++) {
        buf_printf(out, "complete -c purgeline -n __fish_use_subcommand -a %s -d ",
                   subcommands[i].name);
        completion_quoted(out, span_str(subcommands[i].sentence));
        buf_putc(out, '\n');
    }
    for (size_t i = 0; i < subcommands_count; i++) {
        help_each_option(subcommands[i].help, put_option, &(struct fish){out, subcommands[i].name});
        put_first(out, &subcommands[i]);
    }
}
