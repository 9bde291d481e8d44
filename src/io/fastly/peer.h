/* SPDX-License-Identifier: MIT
 * Decides which addresses an untrusted URL may lead to: only addresses of the public Internet,
 * never those of our own network (server-side request forgery).
 * https://www.iana.org/assignments/iana-ipv4-special-registry/
 * https://www.iana.org/assignments/iana-ipv6-special-registry/ */
#pragma once

#include "base.h"

struct sockaddr;

bool peer_is_public(const struct sockaddr *address); /* false for anything but IPv4 and IPv6 */
bool peer_text_is_public(const char *ip);            /* "192.0.2.1", "2001:db8::1%eth0" */
