/* SPDX-License-Identifier: MIT */
#include "cmd.h"

const char cmd_top_help[] =
    "usage: purgeline top [OPTION...]\n"
    "\n"
    "Shows accounts, lanes, dead letters, consumers and instances on the whole terminal, anew "
    "each\n"
    "second, with averages over the last 10, 100 and 1000 seconds. Keys sort and filter, look at\n"
    "dead letters, pause and resume accounts; whatever changes something asks first. While Redis "
    "is\n"
    "away, it says so, and goes on when Redis is back. ? lists the keys; q and ^C quit.\n"
    "\n"
    "  -a, --account NAME   show this account only\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline top\n"
    "  NO_COLOR=1 purgeline top -a main\n"
    "\n"
    "exit codes: 0 it was quit; 2 wrong arguments, or no terminal\n";

#ifdef WITH_TOP

#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "top_screen.h"
#include "top_terminal.h"

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

/* Without SA_RESTART, a signal ends poll(2). */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    must(sigaction(SIGINT, &action, NULL) == 0);
    must(sigaction(SIGTERM, &action, NULL) == 0);
    must(sigaction(SIGHUP, &action, NULL) == 0);
}

static void start_colours(void)
{
    const char *no = getenv("NO_COLOR");

    if ((no && *no) || !has_colors() || start_color() == ERR)
        return;
    use_default_colors();
    init_pair(CMD_RED, COLOR_RED, -1);
    init_pair(CMD_YELLOW, COLOR_YELLOW, -1);
    init_pair(CMD_GREEN, COLOR_GREEN, -1);
    init_pair(CMD_DIM, COLOR_CYAN, -1);
}

/* NULL: the terminal cannot be used. */
static SCREEN *start_curses(void)
{
    SCREEN *screen;

    setlocale(LC_CTYPE, "");
    if (!top_terminal_is_known())
        return NULL;
    screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return NULL;
    set_escdelay(50);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    start_colours();
    return screen;
}

static void show(struct top_screen *s, struct top_data *data)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {top_data_fd(data), POLLIN, 0}};
    int key;

    while (!s->ended && !told_to_end) {
        top_draw(s);
        if (poll(fds, 2, 1000) < 0 && errno != EINTR)
            return;
        if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            return; /* the terminal is gone */
        while (!s->ended && (key = getch()) != ERR)
            if (key != KEY_RESIZE)
                top_screen_key(s, key);
        top_screen_refresh(s);
    }
}

static int top(const struct cmd_common *o)
{
    static struct config config; /* a thread that is left behind still uses it */
    struct top_screen screen;
    struct top_data *data;
    SCREEN *terminal;
    int rc;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return cmd_fail(CMD_USAGE, "it needs a terminal; see 'purgeline status --watch'");
    rc = cmd_load(o, &config);
    if (rc != 0)
        return rc;
    rc = o->account && !cmd_account(o, &config) ? CMD_USAGE
                                                : top_data_start(&config, o->account, &data);
    if (rc != 0) {
        config_deinit(&config);
        return rc;
    }
    catch_signals();
    terminal = start_curses();
    if (terminal) {
        top_screen_init(&screen, data);
        show(&screen, data);
        endwin();
        delscreen(terminal);
        top_screen_deinit(&screen);
    }
    if (top_data_stop(data))
        config_deinit(&config);
    if (!terminal)
        return cmd_fail(CMD_USAGE, "the terminal %s cannot be used; try 'purgeline status --watch'",
                        getenv("TERM") ? getenv("TERM") : "(no TERM)");
    return CMD_OK;
}

#else

static int top(const struct cmd_common *o)
{
    (void)o;
    return cmd_fail(CMD_USAGE, "this purgeline was built without ncurses; try 'purgeline status "
                               "--watch'");
}

#endif

int cmd_top(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"account", required_argument, NULL, 'a'},
                                            {"redis", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct cmd_common o = {0};
    int opt, rc;

    while ((opt = getopt_long(argc, argv, "c:a:r:h", options, NULL)) != -1)
        if (opt == 'h' || !cmd_take_common(&o, opt))
            break;
    rc = cmd_after_options("top", opt, cmd_top_help);
    if (rc != -1)
        return rc;
    if (optind < argc)
        return cmd_fail(CMD_USAGE, "unexpected argument '%s'", argv[optind]);
    return top(&o);
}
