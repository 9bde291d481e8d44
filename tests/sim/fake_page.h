/* SPDX-License-Identifier: MIT
 * Pages that canaries fetch, from beginning to end: io/fastly/page.h, without sockets. */
#pragma once

void fake_page_begin(void);
void fake_page_end(void);                 /* after the last instance */
void fake_page_answer_dead(int instance); /* its process is dead: nobody waits for its pages */
