/* SPDX-License-Identifier: MIT
 * Ports for servers of tests. */
#pragma once

/* An unused port, which no other test gets before this process ends. Errors fail the test. */
unsigned free_port(void);
