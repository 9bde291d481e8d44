/* SPDX-License-Identifier: MIT
 * A hook that could never work is refused with its line when the configuration is read. */
#include "config_world.h"

#define SIGNED "secret_env: S\n    signature: {header: x-signature}"

static void an_invalid_template_is_refused_at_its_byte(void **state)
{
    (void)state;
    assert_refused("hooks:\n  - name: h\n    " SIGNED "\n    urls:\n      - h/{a}\n      - h/{a\n",
                   "purgeline.yaml:7: hooks[0].urls[1]: byte 3: a { without its }; {{ is a brace");
    assert_refused("hooks:\n  - name: h\n    " SIGNED "\n    urls: [\"{a|uper}\"]\n",
                   "purgeline.yaml:5: hooks[0].urls[0]: byte 4: no such filter; there are lower, "
                   "slug, path and split");
}

static void a_condition_with_an_invalid_path_is_refused(void **state)
{
    (void)state;
    assert_refused("hooks:\n  - name: h\n    urls: [u]\n    " SIGNED "\n    when: [a..b=c]\n",
                   "purgeline.yaml:6: hooks[0].when[0]: byte 3: a byte that must be in double "
                   "quotes");
}

static void a_signature_that_protects_nothing_is_refused(void **state)
{
    (void)state;
    assert_refused("hooks:\n  - name: h\n    urls: [u]\n    secret_env: S\n    signature:\n"
                   "      header: x\n      signs: \"{method}\"\n",
                   "purgeline.yaml:7: hooks[0].signature.signs: without {body} anything could be "
                   "sent");
    assert_refused(
        "hooks:\n  - name: h\n    urls: [u]\n    secret_env: S\n    signature:\n"
        "      header: x\n      value: \"t={time},v1={digest}\"\n",
        "purgeline.yaml:5: hooks[0].signature.signs: without {time} an old request could "
        "be sent again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_invalid_template_is_refused_at_its_byte),
        T(a_condition_with_an_invalid_path_is_refused),
        T(a_signature_that_protects_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
