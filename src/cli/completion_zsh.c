/* SPDX-License-Identifier: MIT
 * zsh: https://zsh.sourceforge.io/Doc/Release/Completion-System.html#index-_005farguments */
#include "completion.h"

#include <stdio.h>

/* A description between [ ], within single quotes. */
static void put_description(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\'')
            buf_printf(out, "'\\''");
        else if (text.p[i] == '[' || text.p[i] == ']' || text.p[i] == ':' || text.p[i] == '\\')
            buf_printf(out, "\\%c", text.p[i]);
        else
            buf_putc(out, text.p[i]);
    }
}

static void put_action(struct buf *out, const struct help_option *o)
{
    const char *words;
    enum completion_kind kind = completion_of(o, &words);

    if (o->argument.n == 0)
        return;
    buf_printf(out, o->argument_optional ? "::%.*s:" : ":%.*s:", (int)o->argument.n, o->argument.p);
    if (kind == COMPLETION_FILE)
        buf_printf(out, "_files");
    else if (kind == COMPLETION_ACCOUNT)
        buf_printf(out, "_purgeline_accounts");
    else if (kind == COMPLETION_WORDS)
        buf_printf(out, "(%s)", words);
}

/* '(-f --file)-f+[description]:FILE:_files' */
static void put_spec(struct buf *out, const struct help_option *o, const char *name, size_t n,
                     const char *ending)
{
    buf_printf(out, " \\\n            '(");
    if (o->letter)
        buf_printf(out, "-%c ", o->letter);
    for (size_t i = 0; i < array_len(o->names) && o->names[i].n; i++)
        buf_printf(out, "%s--%.*s", i ? " " : "", (int)o->names[i].n, o->names[i].p);
    buf_printf(out, ")%.*s%s[", (int)n, name, o->argument.n ? ending : "");
    put_description(out, o->description);
    buf_printf(out, "]");
    put_action(out, o);
    buf_printf(out, "'");
}

static void put_option(void *ctx, const struct help_option *o)
{
    struct buf *out = ctx;
    char name[64];
    int n;

    if (o->letter) {
        n = snprintf(name, sizeof(name), "-%c", o->letter);
        put_spec(out, o, name, (size_t)n, o->argument_optional ? "-" : "+");
    }
    for (size_t i = 0; i < array_len(o->names) && o->names[i].n; i++) {
        n = snprintf(name, sizeof(name), "--%.*s", (int)min_u64(o->names[i].n, 60), o->names[i].p);
        put_spec(out, o, name, (size_t)n, o->argument_optional ? "=-" : "=");
    }
}

static void put_command(struct buf *out, const struct subcommand *c)
{
    buf_printf(out, "        %s)\n            _arguments -s -S", c->name);
    help_each_option(c->help, put_option, out);
    if (c->first != FIRST_ANYTHING)
        buf_printf(out, " \\\n            ");
    switch (c->first) {
    case FIRST_WORD:
        buf_printf(out, "'1:word:(%s)'", c->words);
        break;
    case FIRST_COMMAND:
        buf_printf(out, "'1:command:->command'");
        break;
    case FIRST_CONSUMER:
        buf_printf(out, "'1:consumer:_purgeline_consumers'");
        break;
    case FIRST_ANYTHING: /* a description without completions would keep options from being
                            completed */
        break;
    }
    buf_printf(out, " && ret=0 ;;\n");
}

static const char zsh_head[] =
    "#compdef purgeline\n"
    "# Completion of purgeline for zsh, generated: purgeline completion zsh\n"
    "\n"
    "_purgeline_names() {\n"
    "    local config=${opt_args[-c]:-${opt_args[--config]:-}}\n"
    "    local -a names\n"
    "    names=(${(f)\"$(purgeline completion $1 ${config:+--config=$config} 2>/dev/null)\"})\n"
    "    compadd -a names\n"
    "}\n"
    "_purgeline_accounts() { _purgeline_names accounts }\n"
    "_purgeline_consumers() { _purgeline_names consumers }\n"
    "\n"
    "_purgeline() {\n"
    "    local curcontext=$curcontext state line ret=1\n"
    "    local -A opt_args\n"
    "    local -a commands\n"
    "    commands=(\n";

static const char zsh_middle[] = "    )\n"
                                 "    _arguments -C '(- *)'{-h,--help}'[show the commands]' '(- "
                                 "*)'{-V,--version}'[show the version]' \\\n"
                                 "        '1:command:->command' '*::argument:->argument' && ret=0\n"
                                 "    if [[ $state = argument ]]; then\n"
                                 "        case $words[1] in\n";

static const char zsh_tail[] = "        esac\n"
                               "    fi\n"
                               "    [[ $state = command ]] && _describe command commands && ret=0\n"
                               "    return ret\n"
                               "}\n"
                               "\n"
                               "if [[ $funcstack[1] = _purgeline ]]; then _purgeline \"$@\"; else "
                               "compdef _purgeline purgeline; fi\n";

void completion_zsh(struct buf *out)
{
    buf_printf(out, "%s", zsh_head);
    for (size_t i = 0; i < subcommands_count; i++) {
        buf_printf(out, "        '%s:", subcommands[i].name);
        put_description(out, span_str(subcommands[i].sentence));
        buf_printf(out, "'\n");
    }
    buf_printf(out, "%s", zsh_middle);
    for (size_t i = 0; i < subcommands_count; i++)
        put_command(out, &subcommands[i]);
    buf_printf(out, "%s", zsh_tail);
}
