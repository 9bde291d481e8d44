/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <string.h>

const char *const fault_names[FAULT_N] = {
    [FAULT_NONE] = "goes well",
    [FAULT_LOST_BEFORE] = "is lost on its way",
    [FAULT_LOST_AFTER] = "is done and its answer lost",
    [FAULT_KILL_BEFORE] = "does not leave, the process is killed",
    [FAULT_KILL_AFTER] = "is done, then the process is killed",
    [FAULT_UNSENT] = "finds no connection",
    [FAULT_SILENT] = "is never answered",
};

static struct {
    uint64_t count;
    fault_branch_cb *branch;
    bool branched;
    struct {
        uint32_t in;
        enum fault fault;
    } soon[IO_N];
} ft;

void fault_begin(void)
{
    memset(&ft, 0, sizeof(ft));
}

enum fault fault_next(enum io io)
{
    enum fault fault = FAULT_NONE;

    ft.count++;
    if (ft.branch)
        fault = ft.branch(io, ft.count);
    ft.branched = ft.branched || fault != FAULT_NONE;
    if (fault != FAULT_NONE)
        return fault;
    if (ft.soon[io].in && --ft.soon[io].in == 0)
        return ft.soon[io].fault;
    return FAULT_NONE;
}

uint64_t fault_operations(void)
{
    return ft.count;
}

void fault_branch(fault_branch_cb *cb)
{
    ft.branch = cb;
}

bool fault_branched(void)
{
    return ft.branched;
}

void fault_soon(enum io io, enum fault f, uint32_t n)
{
    ft.soon[io].in = n;
    ft.soon[io].fault = f;
}
