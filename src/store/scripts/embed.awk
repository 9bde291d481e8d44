# SPDX-License-Identifier: MIT
# Turns Lua scripts into one C table, or prints one of them whole. The build runs it; any POSIX awk will do.
#
#     awk -v folder=src/store/scripts -v to=scripts.c -f embed.awk lead.lua settle.lua ...
#     awk -v folder=src/store/scripts -v show=1 -f embed.awk settle.lua
#
# A line `--@include shared/now.lua` is replaced by that file, once in each script. Redis hashes and keeps what it is
# sent, so lines that are comments, empty lines and indentation are left out of the table. Long strings and long
# comments ([[ ... ]]) would not survive that, and are refused. A script whose head has a line that begins with
# "A question" is sent with the line "-- a question" in front, see src/io/redis/redis_reads.h.

function fail(where, why) {
    print where ": " why > "/dev/stderr"
    failed = 1
    exit 1
}

# Adds a file to `lines`, with what it includes in front of it.
function read_file(name, from,    path, line, rc, at) {
    if (name in seen)
        return
    seen[name] = 1
    path = folder "/" name
    while ((rc = (getline line < path)) > 0) {
        at++
        if (line ~ /^--@include [a-z_]+\/[a-z_]+\.lua$/)
            read_file(substr(line, 12), path ":" at)
        else if (line ~ /^[ \t]*--[ \t]*@/)
            fail(path ":" at, "expected --@include folder/file.lua")
        else if (line ~ /\[=*\[/)
            fail(path ":" at, "long strings and long comments are not supported")
        else
            lines[++count] = line
    }
    if (rc < 0)
        fail(from, "cannot read " path)
    close(path)
}

function read_script(name,    i) {
    for (i in seen)
        delete seen[i]
    count = 0
    read_file(name, "embed.awk")
}

function is_question(    i) {
    for (i = 1; i <= count && lines[i] ~ /^--/; i++)
        if (lines[i] ~ /^-- A question[,:.]/)
            return 1
    return 0
}

function as_c(name,    i, line, text) {
    text = "    [SCRIPT_" toupper(name) "] = {\"" name "\",\n"
    if (is_question())
        text = text "        \"-- a question\\n\"\n"
    for (i = 1; i <= count; i++) {
        line = lines[i]
        gsub(/^[ \t]+|[ \t]+$/, "", line)
        if (line == "" || line ~ /^--/)
            continue
        gsub(/[\\"]/, "\\\\&", line)
        text = text "        \"" line "\\n\"\n"
    }
    return text "    },\n"
}

BEGIN {
    table = "/* Made by embed.awk from the .lua files. */\n#include \"scripts.h\"\n\n"
    table = table "const struct script_text scripts[SCRIPT_N] = {\n"
    for (i = 1; i < ARGC; i++) {
        read_script(ARGV[i])
        name = ARGV[i]
        sub(/\.lua$/, "", name)
        if (show)
            for (k = 1; k <= count; k++)
                print lines[k]
        else
            table = table as_c(name)
    }
    if (!show)
        printf "%s};\n", table > to
    exit 0
}
