/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <string.h>

#include "alloc.h"

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
    uint64_t count, at;
    uint8_t *kinds;
    size_t room;
    enum fault at_fault;
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
    if (ft.count == ft.room) {
        ft.room = ft.room ? ft.room * 2 : 1024;
        ft.kinds = alloc_grow(ft.kinds, ft.room, 1);
    }
    ft.kinds[ft.count] = (uint8_t)io;
    if (++ft.count == ft.at)
        return ft.at_fault;
    if (ft.soon[io].in && --ft.soon[io].in == 0)
        return ft.soon[io].fault;
    return FAULT_NONE;
}

uint64_t fault_operations(void)
{
    return ft.count;
}

uint8_t *fault_take_kinds(void)
{
    uint8_t *kinds = ft.kinds;

    ft.kinds = NULL;
    ft.room = 0;
    return kinds;
}

void fault_at(uint64_t n, enum fault f)
{
    ft.at = n;
    ft.at_fault = f;
}

void fault_soon(enum io io, enum fault f, uint32_t n)
{
    ft.soon[io].in = n;
    ft.soon[io].fault = f;
}
