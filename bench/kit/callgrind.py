# SPDX-License-Identifier: MIT
"""Reads what valgrind's callgrind writes (with --compress-strings=no --compress-pos=no):
https://valgrind.org/docs/manual/cl-format.html"""
import collections
import os
import re


class Profile:
    """What each function cost itself, and what the calls between them cost in all. A function is
    (object, file, name); instructions are counted."""

    def __init__(self, path):
        self.own = collections.Counter()
        self.calls = collections.Counter()
        with open(path) as f:
            self.read(f)

    def read(self, lines):
        obj = file = function = None
        callee = {}
        callee_follows = False
        for line in lines:
            key, mark, value = line.rstrip("\n").partition("=")
            if mark and key == "ob":
                obj = os.path.basename(value)
            elif mark and key == "fl":
                file = os.path.basename(value)
            elif mark and key == "fn":
                function = (obj, file, plain(value))
            elif mark and key in ("cob", "cfi", "cfl", "cfn"):
                callee[key] = value
            elif mark and key == "calls":
                callee_follows = True
            elif line[:1].isdigit():
                cost = int(line.split()[1])
                if callee_follows:
                    source = callee.get("cfi") or callee.get("cfl")
                    to = (os.path.basename(callee["cob"]) if "cob" in callee else obj,
                          os.path.basename(source) if source else file, plain(callee["cfn"]))
                    self.calls[function, to] += cost
                    callee, callee_follows = {}, False
                else:
                    self.own[function] += cost

    def attributed(self, ours):
        """Cost by our functions: {function: [its own, that of foreign code it called]}. What a
        library does in a call of ours counts for the caller, but for what it calls back."""
        parts = collections.defaultdict(lambda: [0, 0])
        foreign = self.foreign_share(ours)
        for function, cost in self.own.items():
            if ours(function):
                parts[function][0] += cost
        for (caller, callee), cost in self.calls.items():
            if ours(caller) and not ours(callee):
                parts[caller][1] += cost * foreign.get(callee, 1)
        return parts

    def foreign_share(self, ours):
        """Of each foreign function's inclusive cost, the share that is not ours. By iteration, since
        functions call each other in circles."""
        out = collections.defaultdict(list)
        inclusive = collections.Counter(self.own)
        for (caller, callee), cost in self.calls.items():
            if not ours(caller):
                out[caller].append((callee, cost))
                inclusive[caller] += cost
        share = {}
        for _ in range(30):
            for function in out:
                within = self.own[function] + sum(
                    cost * (0 if ours(callee) else share.get(callee, 1))
                    for callee, cost in out[function])
                share[function] = within / inclusive[function] if inclusive[function] else 1
        return share


def plain(name):
    """Without the mark of a recursion, "'2", and that of a compiler's copy, ".part.0"."""
    return re.sub(r"'\d+$|\.(part|isra|constprop|cold)(\.\d+)?", "", name)
