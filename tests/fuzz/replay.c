/* SPDX-License-Identifier: MIT
 * Passes every file in the folders named as arguments to a fuzzer, without libFuzzer. An empty
 * corpus is an error, because it would test nothing. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fuzz.h"

#define INPUT_MAX_BYTES (1024 * 1024)

static int replay_file(const char *path)
{
    uint8_t *data;
    size_t n;
    FILE *f = fopen(path, "rb");

    if (!f) {
        perror(path);
        return -1;
    }
    data = alloc_bytes(INPUT_MAX_BYTES);
    n = fread(data, 1, INPUT_MAX_BYTES, f);
    fclose(f);
    data = alloc_grow(data, n, 1); /* copied, so that the sanitizer finds reads past the end */
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

/* Returns the number of files, or -1. */
static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    if (!dir) {
        perror(folder);
        return -1;
    }
    while (count >= 0 && (entry = readdir(dir))) {
        char *path;

        if (entry->d_name[0] == '.')
            continue;
        path = alloc_printf("%s/%s", folder, entry->d_name);
        count = replay_file(path) < 0 ? -1 : count + 1;
        free(path);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);

        if (count <= 0) {
            fprintf(stderr, "%s: no inputs\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], count);
    }
    return argc > 1 ? 0 : 1;
}
