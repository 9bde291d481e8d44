/* SPDX-License-Identifier: MIT
 * bash, and what all shells share. */
#include "completion.h"

enum completion_kind completion_of(const struct help_option *o, const char **words)
{
    static const struct {
        const char *option, *words;
    } lists[] = {{"lane", "urgent normal bulk"}, {"log-level", "debug info warn error"}};

    *words = NULL;
    if (span_is(o->argument, "FILE"))
        return COMPLETION_FILE;
    if (span_is(o->names[0], "account"))
        return COMPLETION_ACCOUNT;
    for (size_t i = 0; i < array_len(lists); i++)
        if (span_is(o->names[0], lists[i].option))
            *words = lists[i].words;
    return *words ? COMPLETION_WORDS : COMPLETION_NONE;
}

void completion_quoted(struct buf *out, struct span text)
{
    buf_putc(out, '\'');
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\'')
            buf_printf(out, "'\\''");
        else
            buf_putc(out, text.p[i]);
    buf_putc(out, '\'');
}

/* -- bash -- */

static void put_words(void *ctx, const struct help_option *o)
{
    struct buf *out = ctx;

    if (o->letter)
        buf_printf(out, " -%c", o->letter);
    for (size_t i = 0; i < array_len(o->names) && o->names[i].n; i++)
        buf_printf(out, " --%.*s", (int)o->names[i].n, o->names[i].p);
}

/* "    push:-f | push:--file | push:--file=) _purgeline_files ;;" */
static void put_argument(struct buf *out, const char *command, const struct help_option *o)
{
    const char *words;
    enum completion_kind kind = completion_of(o, &words);
    int n = (int)o->names[0].n;

    buf_printf(out, "    ");
    if (o->letter && !o->argument_optional)
        buf_printf(out, "%s:-%c | ", command, o->letter);
    if (!o->argument_optional)
        buf_printf(out, "%s:--%.*s | ", command, n, o->names[0].p);
    buf_printf(out, "%s:--%.*s=) ", command, n, o->names[0].p);
    if (kind == COMPLETION_FILE)
        buf_printf(out, "_purgeline_files");
    else if (kind == COMPLETION_ACCOUNT)
        buf_printf(out, "_purgeline_words \"$(_purgeline_names accounts)\"");
    else if (kind == COMPLETION_WORDS)
        buf_printf(out, "_purgeline_words '%s'", words);
    buf_printf(out, " ;;\n");
}

struct bash {
    struct buf *out;
    const char *command;
};

static void put_argument_of(void *ctx, const struct help_option *o)
{
    struct bash *b = ctx;

    if (o->argument.n)
        put_argument(b->out, b->command, o);
}

static void put_taking_of(void *ctx, const struct help_option *o)
{
    struct bash *b = ctx;

    if (o->argument.n == 0 || o->argument_optional)
        return;
    if (o->letter)
        buf_printf(b->out, "%s:-%c ", b->command, o->letter);
    buf_printf(b->out, "%s:--%.*s ", b->command, (int)o->names[0].n, o->names[0].p);
}

static void put_for_each(struct buf *out, help_option_cb *cb)
{
    for (size_t i = 0; i < subcommands_count; i++)
        help_each_option(subcommands[i].help, cb, &(struct bash){out, subcommands[i].name});
}

static const char bash_head[] =
    "# Completion of purgeline for bash, generated: purgeline completion bash\n"
    "\n"
    "# Completes the current word with one of the words.\n"
    "_purgeline_words() {\n"
    "    local word\n"
    "    for word in $1; do\n"
    "        [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\")\n"
    "    done\n"
    "}\n"
    "\n"
    "_purgeline_files() {\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "}\n"
    "\n"
    "# The names of accounts or consumers in the configuration that the command line names.\n"
    "_purgeline_names() {\n"
    "    \"${COMP_WORDS[0]}\" completion \"$1\" ${config:+\"--config=$config\"} 2>/dev/null\n"
    "}\n"
    "\n"
    "_purgeline() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local i word command='' first='' config='' taking=' ";

static const char bash_scan[] =
    "'\n"
    "\n"
    "    # bash makes three words of --name=value.\n"
    "    if [[ $cur == = ]]; then\n"
    "        cur='' prev=$prev=\n"
    "    elif [[ $prev == = ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}=\n"
    "    fi\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $taking == *\" $command:$word \"* ]]; then\n"
    "            ((i++))\n"
    "            [[ ${COMP_WORDS[i]} == = ]] && ((i++))\n"
    "            [[ $word == -c || $word == --config ]] && config=${COMP_WORDS[i]}\n"
    "        elif [[ $word == = ]]; then\n"
    "            ((i++))\n"
    "        elif [[ $word != -* && -z $command ]]; then\n"
    "            command=$word\n"
    "        elif [[ $word != -* ]]; then\n"
    "            first=$word\n"
    "        fi\n"
    "    done\n"
    "    COMPREPLY=()\n"
    "    case $command:$prev in\n";

static void put_names(struct buf *out)
{
    for (size_t i = 0; i < subcommands_count; i++)
        buf_printf(out, "%s%s", i ? " " : "", subcommands[i].name);
}

static void put_first(struct buf *out, const struct subcommand *c)
{
    if (c->first == FIRST_ANYTHING)
        return;
    buf_printf(out, "        *) [[ -n $first ]] || _purgeline_words ");
    if (c->first == FIRST_CONSUMER)
        buf_printf(out, "\"$(_purgeline_names consumers)\"");
    buf_printf(out, c->first == FIRST_CONSUMER ? "" : "'");
    if (c->first == FIRST_COMMAND)
        put_names(out);
    else if (c->first == FIRST_WORD)
        buf_printf(out, "%s", c->words);
    buf_printf(out, c->first == FIRST_CONSUMER ? " ;;\n" : "' ;;\n");
}

static void put_commands(struct buf *out)
{
    buf_printf(out, "    case $command in\n    '') _purgeline_words '");
    put_names(out);
    buf_printf(out, " --help --version' ;;\n");
    for (size_t i = 0; i < subcommands_count; i++) {
        const struct subcommand *c = &subcommands[i];

        buf_printf(out, "    %s)\n        case $cur in\n        -*) _purgeline_words '", c->name);
        help_each_option(c->help, put_words, out);
        buf_printf(out, "' ;;\n");
        put_first(out, c);
        buf_printf(out, "        esac ;;\n");
    }
    buf_printf(out, "    esac\n");
}

void completion_bash(struct buf *out)
{
    buf_printf(out, "%s", bash_head);
    put_for_each(out, put_taking_of);
    buf_printf(out, "%s", bash_scan);
    put_for_each(out, put_argument_of);
    buf_printf(out, "    *) false ;;\n    esac && return\n");
    put_commands(out);
    buf_printf(out, "}\n\ncomplete -F _purgeline purgeline\n");
}
