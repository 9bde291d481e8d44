# SPDX-License-Identifier: MIT
"""Reads the output of valgrind's callgrind (with --compress-strings=no --compress-pos=no):
https://valgrind.org/docs/manual/cl-format.html"""
import collections
import os
import re


class Profile:
    """The number of instructions of each function itself (own), and of each call from one function to
    another (calls). A function is (object, file, name)."""

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
        """Cost of our functions: {function: [own cost, cost of the foreign code it called]}. The cost of a
        library call counts for our function that called it, without the cost of our callbacks."""
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
        """The share of each foreign function's inclusive cost that is not spent in our callbacks. Computed by
        iteration, because functions can call each other recursively."""
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
    """The name without callgrind's suffix for recursion ("'2") and the compiler's for copies (".part.0")."""
    return re.sub(r"'\d+$|\.(part|isra|constprop|cold)(\.\d+)?", "", name)
