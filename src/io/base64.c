/* SPDX-License-Identifier: MIT */
#include "base64.h"

#include <limits.h>

#include <openssl/evp.h>

size_t base64_decode(struct span text, char *out)
{
    size_t padding = 0;
    int n;

    if (text.n == 0 || text.n % 4 || text.n > INT_MAX)
        return 0;
    n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text.p, (int)text.n);
    if (n < 0)
        return 0;
    while (padding < 2 && text.p[text.n - 1 - padding] == '=')
        padding++;
    return (size_t)n - padding; /* which OpenSSL decodes as zeros */
}
