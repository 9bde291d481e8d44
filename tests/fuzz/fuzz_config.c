/* SPDX-License-Identifier: MIT
 * A configuration file. If it is accepted, printing it must produce YAML that is read as the same
 * configuration; otherwise it must be refused with a sentence. Input: the file. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_file.h"
#include "config_yaml.h"
#include "fuzz.h"

static int load(struct span text, struct config *c)
{
    char path[64];
    struct error err = {""};
    int fd = memfd_create("purgeline.yaml", 0), rc;

    must(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    rc = config_load(path, NULL, c, &err);
    close(fd);
    must(rc == 0 || *err.text);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config first, second;
    struct buf once, twice;

    if (load(span_of((const char *)data, size), &first) < 0)
        return 0;
    buf_init(&once, SIZE_MAX);
    buf_init(&twice, SIZE_MAX);
    config_yaml(&first, CONFIG_YAML_PLAIN, &once);
    if (load(buf_span(&once), &second) == 0) { /* a password is printed as stars */
        config_yaml(&second, CONFIG_YAML_PLAIN, &twice);
        must(span_eq(buf_span(&once), buf_span(&twice)));
        config_deinit(&second);
    } else {
        must(memmem(once.p, once.n, "***", 3));
    }
    config_deinit(&first);
    buf_deinit(&once);
    buf_deinit(&twice);
    return 0;
}
