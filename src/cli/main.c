/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cmd.h"
#include "commands.h"

static void overview(FILE *out)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    cmd_overview(&text);
    fwrite(text.p, 1, text.n, out);
    buf_deinit(&text);
}

static int run(int argc, char **argv)
{
    static char name[32];
    const struct subcommand *c;

    if (argc < 2) {
        overview(stderr);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("purgeline " PURGELINE_VERSION);
        return CMD_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        overview(stdout);
        return CMD_OK;
    }
    c = subcommand_find(argv[1]);
    if (!c)
        return cmd_unknown(argv[1]);
    snprintf(name, sizeof(name), "purgeline %s", c->name); /* getopt begins its messages with it */
    argv[1] = name;
    cmd_begin(c->name, argv + 1);
    return c->run(argc - 1, argv + 1);
}

/* Whoever starts us may have closed a standard stream. The next connection or pipe would get its
 * number: what is printed would go to Redis, and `push -` would read from there. What is opened in
 * its place cannot be used, as a closed stream; only messages vanish. */
static void occupy_standard_streams(void)
{
    static const int useless[] = {O_WRONLY, O_RDONLY, O_RDWR};

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", useless[fd]) < 0)
            return; /* no /dev/null: then it stays closed */
}

int main(int argc, char **argv)
{
    int code;

    occupy_standard_streams();
    /* Programs that use OpenSSL or GnuTLS write the TLS keys of every connection to the file that
     * SSLKEYLOGFILE names. With these keys, anyone who recorded the traffic could read our tokens:
     * https://curl.se/docs/manpage.html "SSLKEYLOGFILE". */
    unsetenv("SSLKEYLOGFILE");
    signal(SIGPIPE, SIG_IGN); /* a write to a closed connection fails; it must not end us */
    code = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("purgeline: cannot write to stdout\n", stderr);
        return code == CMD_OK ? CMD_FAILED : code;
    }
    return code;
}
