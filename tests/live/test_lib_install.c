/* SPDX-License-Identifier: MIT */
#include "base.h"
#include "command_world.h"

/* $T is the result of `cmake --install`, $CC the compiler of the build, $U the URL of Redis. */

static int install(void **state)
{
    static char folder[] = "/tmp/purgeline-tree-XXXXXX";
    const char *sanitize = getenv("SANITIZE");

    (void)state;
    assert_non_null(mkdtemp(folder));
    setenv("T", folder, 1);
    if (system("cmake --install $BUILD_DIR --prefix $T >$T/log 2>&1") != 0)
        return system("cat $T/log; exit 1");
    assert_int_equal(setenv("PKG_CONFIG_PATH", "", 1), 0);
    /* The program must be linked with the runtime of the library's sanitizer. */
    setenv("FLAGS", sanitize && *sanitize ? "-fsanitize=$SANITIZE" : "", 1);
    return 0;
}

static int uninstall(void **state)
{
    (void)state;
    return system("rm -rf $T");
}

static int open_tree(void **state)
{
    struct world *w;

    assert_int_equal(setup(state), 0);
    w = *state;
    setenv("U", redis_server_unix_url(w->redis), 1);
    assert_int_equal(shell_run(&w->shell, "dirname $(find $T -name libpurgeline.pc) | tr -d '\\n'"),
                     0);
    setenv("PKG_CONFIG_PATH", w->shell.out, 1);
    assert_int_equal(shell_run(&w->shell, "pkg-config --variable=libdir libpurgeline"), 0);
    w->shell.out[strcspn(w->shell.out, "\n")] = '\0';
    setenv("LD_LIBRARY_PATH", w->shell.out, 1);
    return 0;
}

static int close_tree(void **state)
{
    unsetenv("LD_LIBRARY_PATH");
    return teardown(state);
}

#define CC_LINE "eval $CC $FLAGS -Wall -Wextra -Werror "
#define USER "-o $D/user $SOURCE_DIR/tests/live/lib_user.c "

static void assert_builds(struct world *w, const char *line)
{
    if (shell_run(&w->shell, "%s", line) != 0)
        fail_msg("%s\n%s%s", line, w->shell.out, w->shell.err);
}

static void assert_user_works(struct world *w)
{
    assert_builds(w, "$D/user $U");
    shell_assert_out(&w->shell, PURGELINE_VERSION " normal-");
    assert_int_equal(length(w, NORMAL), 1002);
    assert_entry(w, NORMAL, 0, "service=news keys=article-17 home");
}

static void a_program_is_built_with_what_is_installed(void **state)
{
    struct world *w = *state;

    assert_builds(w,
                  CC_LINE "-std=c99 -pedantic " USER "$(pkg-config --cflags --libs libpurgeline)");
    assert_builds(w, "ldd $D/user | grep 'libpurgeline.so.0 => '\"$T\"");
    assert_user_works(w);
}

static void a_program_is_built_with_the_static_library(void **state)
{
    struct world *w = *state;

    assert_builds(w, CC_LINE USER "$(pkg-config --static --cflags --libs libpurgeline | "
                                  "sed s/-lpurgeline/-l:libpurgeline.a/)");
    assert_int_equal(shell_run(&w->shell, "ldd $D/user | grep -c libpurgeline"), 1);
    unsetenv("LD_LIBRARY_PATH");
    assert_user_works(w);
}

static void the_header_is_c_plus_plus_as_well(void **state)
{
    struct world *w = *state;

    if (shell_run(&w->shell, "command -v c++") != 0)
        skip();
    assert_builds(w, CC_LINE "-x c++ -fsyntax-only $SOURCE_DIR/tests/live/lib_user.c "
                             "$(pkg-config --cflags libpurgeline)");
}

static void only_its_own_names_can_be_seen(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell,
                               "cd $LD_LIBRARY_PATH; { nm -D --defined-only libpurgeline.so"
                               "; nm -g --defined-only libpurgeline.a; } | "
                               "awk '$2 ~ /^[A-Z]$/ { print $3 }' | "
                               "grep -v '^purgeline_\\|^PURGELINE_0$'"),
                     1);
    assert_string_equal(w->shell.out, "");
    assert_builds(
        w, "readelf -d $LD_LIBRARY_PATH/libpurgeline.so | grep 'soname: .libpurgeline.so.0.'");
    assert_builds(w, "! ldd $LD_LIBRARY_PATH/libpurgeline.so | grep 'libuv\\|libcurl\\|libyaml'");
}

static void program_and_manual_are_installed(void **state)
{
    struct world *w = *state;

    assert_builds(w, "$T/bin/purgeline --version");
    shell_assert_out(&w->shell, "purgeline " PURGELINE_VERSION);
    assert_builds(w, "cat $T/share/man/man1/purgeline.1 $T/share/man/man3/purgeline.3 | "
                     "grep -c '^.TH PURGELINE [13] \"\" \"purgeline " PURGELINE_VERSION "\"'");
    assert_string_equal(w->shell.out, "2\n");
}

static void the_example_of_the_manual_works(void **state)
{
    struct world *w = *state;

    assert_builds(w, "sed -n '/^.SH EXAMPLES/,/^.fi/p' $T/share/man/man3/purgeline.3 | "
                     "sed -e '/^[.]/d' -e 's/\\\\-/-/g' -e 's/\\\\e/\\\\/g' "
                     "-e \"s|redis://127.0.0.1:6379|$U|\" > $D/example.c");
    assert_builds(w, CC_LINE "-o $D/example $D/example.c $(pkg-config --cflags --libs "
                             "libpurgeline) && $D/example");
    shell_assert_out(&w->shell, "normal-");
    assert_entry(w, NORMAL, 0, "keys=article-17 home");
}

/* The manual describes every function of the header. */
static void the_manual_names_every_function(void **state)
{
    struct world *w = *state;

    assert_builds(w, "nm -D --defined-only $LD_LIBRARY_PATH/libpurgeline.so | "
                     "sed -n 's/.* T \\(purgeline_[a-z_]*\\).*/\\1/p' > $D/names; "
                     "test $(wc -l < $D/names) -gt 10; while read -r name; do "
                     "grep -q \"$name\" $T/share/man/man3/purgeline.3 || "
                     "{ echo \"$name is missing\" >&2; exit 1; }; done < $D/names");
}

/* -- the examples -- */

static void assert_consumes(struct world *w, const char *consumer)
{
    assert_builds(w, consumer);
    shell_assert_out(&w->shell, "committed 1004\n");
    shell_assert_err(&w->shell, "message 1002: ");
    assert_int_equal(length(w, NORMAL), 1002);
    assert_int_equal(length(w, BULK), 1);
    assert_entry(w, NORMAL, 0, "keys=1");
    assert_entry(w, NORMAL, 999, "keys=1000");
    assert_entry(w, NORMAL, 1001, "keys=last");
}

static void skip_without_python(struct world *w)
{
    if (shell_run(&w->shell, "command -v python3") != 0)
        skip();
}

#define MESSAGES                                                                                   \
    "{ seq 1000; echo '{\"keys\":[\"a\",\"b\"],\"lane\":\"bulk\",\"soft\":true}'; echo '{oops'; "  \
    "echo '{\"url\":[\"http://e.com/1\",\"http://e.com/2\"]}'; echo last; } | "

static void the_consumer_in_c_commits_what_redis_has(void **state)
{
    struct world *w = *state;

    assert_builds(w, CC_LINE "-o $D/consumer $SOURCE_DIR/deploy/examples/consumer.c "
                             "$(pkg-config --cflags --libs libpurgeline)");
    assert_consumes(w, MESSAGES "$D/consumer $U main");
    assert_entry(w, BULK, 0, "soft=1 keys=a b");
}

static void the_consumer_in_python_commits_what_redis_has(void **state)
{
    struct world *w = *state;

    skip_without_python(w);
    assert_consumes(w, MESSAGES "$SOURCE_DIR/deploy/examples/consumer.py $U main");
    assert_entry(w, BULK, 0, "keys=a b soft=1");
    assert_entry(w, NORMAL, 1000, "url=http://e.com/1 url=http://e.com/2");
}

static void the_consumer_in_python_goes_where_the_url_says(void **state)
{
    struct world *w = *state;

    skip_without_python(w);
    setenv("TCP", redis_server_url(w->redis), 1);
    assert_builds(w, "echo a | $SOURCE_DIR/deploy/examples/consumer.py $TCP/3 main");
    assert_builds(w, "echo a | $SOURCE_DIR/deploy/examples/consumer.py \"$U?db=3\" main");
    assert_int_equal(length(w, NORMAL), 0);
    redis_server_do(w->redis, "SELECT 3");
    assert_int_equal(length(w, NORMAL), 2);
    redis_server_do(w->redis, "SELECT 0");
    /* A password must not be sent unencrypted because of an unknown scheme. */
    assert_int_equal(shell_run(&w->shell, "echo a | $SOURCE_DIR/deploy/examples/consumer.py "
                                          "valkey://u:secret@127.0.0.1 main"),
                     1);
    shell_assert_err(&w->shell, "127.0.0.1: expected redis://, rediss:// or unix://");
    assert_null(strstr(w->shell.err, "secret"));
    assert_int_equal(
        shell_run(&w->shell, "echo a | $SOURCE_DIR/deploy/examples/consumer.py $TCP/x main"), 1);
    shell_assert_err(&w->shell, "the database must be a number");
    unsetenv("TCP");
}

/* The consumer is started while Redis is down, and waits until Redis is up. */
static void assert_waits_for_redis(struct world *w, const char *consumer)
{
    char line[512];

    redis_server_kill(w->redis);
    snprintf(line, sizeof(line),
             "seq 3 > $D/in; %s $U main < $D/in > $D/out 2> $D/err & echo $! > $D/pid; "
             "until grep -q . $D/err; do sleep 0.01; done; cat $D/out",
             consumer);
    assert_builds(w, line);
    assert_string_equal(w->shell.out, "");
    redis_server_restart(w->redis);
    assert_builds(w, "while kill -0 $(cat $D/pid) 2>/dev/null; do sleep 0.01; done; cat $D/out");
    shell_assert_out(&w->shell, "committed 3");
    assert_int_equal(length(w, NORMAL), 3);
}

static void assert_loses_nothing(struct world *w, const char *consumer)
{
    char line[512];

    snprintf(line, sizeof(line),
             "mkfifo $D/queue; %s $U main < $D/queue > $D/out 2> $D/err & echo $! > $D/pid; "
             "exec 9> $D/queue; seq 500 >&9; (seq 501 30000 >&9) & exec 9>&-; "
             "until grep -q committed $D/out; do sleep 0.001; done",
             consumer);
    assert_builds(w, line);
    for (int i = 0; i < 2; i++) {
        redis_server_kill(w->redis);
        redis_server_restart(w->redis);
    }
    assert_builds(w, "while kill -0 $(cat $D/pid) 2>/dev/null; do sleep 0.01; done; "
                     "tail -n 1 $D/out; cat $D/err >&2");
    assert_string_equal(w->shell.out, "committed 30000\n");
    redis_server_assert_counts(w->redis, NORMAL, 30000);
    assert_builds(w, "rm $D/queue");
}

static void the_consumers_lose_nothing_when_redis_is_killed(void **state)
{
    struct world *w = *state;

    assert_builds(w, CC_LINE "-o $D/consumer $SOURCE_DIR/deploy/examples/consumer.c "
                             "$(pkg-config --cflags --libs libpurgeline)");
    assert_loses_nothing(w, "$D/consumer");
    skip_without_python(w);
    redis_server_do(w->redis, "DEL " NORMAL);
    assert_loses_nothing(w, "$SOURCE_DIR/deploy/examples/consumer.py");
}

static void the_consumer_in_c_waits_for_redis(void **state)
{
    struct world *w = *state;

    assert_builds(w, CC_LINE "-o $D/consumer $SOURCE_DIR/deploy/examples/consumer.c "
                             "$(pkg-config --cflags --libs libpurgeline)");
    assert_waits_for_redis(w, "$D/consumer");
}

static void the_consumer_in_python_waits_for_redis(void **state)
{
    struct world *w = *state;

    skip_without_python(w);
    assert_waits_for_redis(w, "$SOURCE_DIR/deploy/examples/consumer.py");
}

#define TREE(f) cmocka_unit_test_setup_teardown(f, open_tree, close_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE(a_program_is_built_with_what_is_installed),
        TREE(a_program_is_built_with_the_static_library),
        TREE(the_header_is_c_plus_plus_as_well),
        TREE(only_its_own_names_can_be_seen),
        TREE(program_and_manual_are_installed),
        TREE(the_manual_names_every_function),
        TREE(the_example_of_the_manual_works),
        TREE(the_consumer_in_c_commits_what_redis_has),
        TREE(the_consumer_in_python_commits_what_redis_has),
        TREE(the_consumers_lose_nothing_when_redis_is_killed),
        TREE(the_consumer_in_c_waits_for_redis),
        TREE(the_consumer_in_python_goes_where_the_url_says),
        TREE(the_consumer_in_python_waits_for_redis),
    };

    return cmocka_run_group_tests(tests, install, uninstall);
}
