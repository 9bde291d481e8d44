/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"

static char folder[] = "/tmp/purgeline-file-XXXXXX";
static char path[64];

static int make(void **state)
{
    FILE *f;

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/f", folder);
    f = fopen(path, "w");
    return f ? fclose(f) : -1;
}

static int drop(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static enum file_access access_of(const char *what, mode_t mode)
{
    enum file_access access;
    bool is_folder;

    assert_int_equal(chmod(what, mode), 0);
    assert_int_equal(file_access(what, &access, &is_folder), 0);
    assert_int_equal(is_folder, what == folder);
    return access;
}

static void the_worst_that_others_may_do_is_told(void **state)
{
    (void)state;
    assert_int_equal(access_of(path, 0400), FILE_PRIVATE);
    assert_int_equal(access_of(path, 0640), FILE_PRIVATE); /* ours, or of our own group */
    assert_int_equal(access_of(path, 0644), FILE_OTHERS_READ);
    assert_int_equal(access_of(path, 0660), FILE_GROUP_WRITES);
    assert_int_equal(access_of(path, 0602), FILE_ANYBODY_WRITES);
    assert_int_equal(access_of(folder, 0700), FILE_PRIVATE);
    assert_int_equal(access_of(folder, 0701), FILE_OTHERS_READ);
    assert_int_equal(access_of(folder, 01777), FILE_ANYBODY_WRITES);
    assert_int_equal(access_of(folder, 0700), FILE_PRIVATE);
}

/* Services often get a secret as a file of root:purgeline with mode 0440. A file that belongs to
 * another user and that the group "users" may read is not private. */
static void a_group_is_trusted_when_root_says_so(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(path, 0, 12345), 0);
    assert_int_equal(access_of(path, 0440), FILE_PRIVATE);
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_int_equal(access_of(path, 0440), FILE_GROUP_READS);
    assert_int_equal(access_of(path, 0400), FILE_PRIVATE);
    assert_int_equal(chown(path, 0, 0), 0);
}

static void what_is_no_file_is_private_and_what_is_not_there_an_error(void **state)
{
    enum file_access access = FILE_OTHERS_READ;
    bool is_folder;

    (void)state;
    assert_int_equal(file_access("/dev/null", &access, &is_folder), 0);
    assert_int_equal(access, FILE_PRIVATE);
    assert_int_equal(file_access("/nowhere/x", &access, &is_folder), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_that_others_may_do_is_told),
        cmocka_unit_test(a_group_is_trusted_when_root_says_so),
        cmocka_unit_test(what_is_no_file_is_private_and_what_is_not_there_an_error),
    };

    return cmocka_run_group_tests(tests, make, drop);
}
