#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Manual pages and completion are made of what --help prints: every option and word is in them, and the shells and
groff understand them."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from stage import PATIENCE_S, ROOT, Score, Stage, skip_without  # noqa: E402

CONFIG = """\
accounts:
  - name: shop-de
    services: [{id: S1, name: news}]
  - name: shop-fr
    services: [{id: S2, name: news}]
consumers:
  - name: articles
    source: redis-list
    topic: changes
    account: shop-de
    keys: ["a"]
"""
# What an option can be given, so that the command accepts it.
VALUES = {"FILE": "keys.txt", "N": "1", "ID": "news", "LANE": "bulk", "WHEN": "+1s", "T": "1s", "LETTER": "1-1", "TEXT": "x",
          "JSON": '{"url": "https://www.example.com/", "status": 200}', "URL": "https://www.example.com/",
          "NAME": "shop-de", "L": "info", "TARGET": "article-17", "REF": "order 20", "OUTCOME": "dead",
          "TIME": "2026-11-29T14:30"}
OPTION = re.compile(r"^ {2,6}(?:-(\w), )?--([a-z-]+)(?:, --([a-z-]+))?(?:\[=(\w+)\]| (\w+))?(?: {2,}|$)", re.M)


class World(Stage):
    def __init__(self):
        super().__init__()
        self.write("p.yaml", CONFIG)
        self.write("with blank.yaml", CONFIG)
        self.write("keys.txt", "a\n")
        self.env.update(PURGELINE_CONFIG=self.path("p.yaml"), TERM="dumb", INPUTRC="/dev/null", MANWIDTH="80")
        self.commands = re.findall(r"^  (\w+) +\w", self.must("purgeline help").split("start here")[0], re.M)
        self.helps = {command: self.must(f"purgeline {command} --help") for command in self.commands}

    def options(self, command):
        """Of each option: its letter or "", its long names, its argument or ""."""
        for letter, name, other, optional, argument in OPTION.findall(self.helps[command]):
            yield letter, [n for n in (name, other) if n], optional or argument, bool(optional)


def plain(text):
    """What is the same, however lines are broken."""
    return " ".join(text.replace("\u2010\n", "").replace("\u2212", "-").replace("\u2010", "-").split())


def manual_pages(w, score):
    for command in w.commands:
        w.must(f"purgeline help --man {command} > {command}.1")
        told = w.run(f"groff -man -ww -Tutf8 -z {command}.1")
        score.ok(told == (0, ""), f"groff understands the page of {command}", told)
        shown = plain(w.must(f"groff -man -rHY=0 -Tutf8 -P-cbou {command}.1"))
        missing = []
        for block in w.helps[command].strip().split("\n\n"):
            for line in block.splitlines():
                for words in re.split(r" {2,}", re.sub(r"^(usage:|examples?:|[Ee]xit codes:)", "", line).strip()):
                    if plain(words) not in shown:
                        missing.append(words)
        score.ok(not missing, "… and all of its help is in it", missing, shown)
        score.ok(f"purgeline-{command} - " in shown and "EXIT STATUS" in shown and "OPTIONS" in shown, "… in sections", shown)
    if shutil.which("man"):
        told = w.run("man --warnings -l push.1 > /dev/null")
        score.ok(told == (0, ""), "man shows it", told)
    with open(f"{ROOT}/deploy/man/purgeline.1") as page:
        overview = page.read().replace("\\-", "-")
    for command in w.commands:
        score.ok(re.search(rf"^\.(B|BI|BR) .*\b{command}\b", overview, re.M) and f"purgeline-{command} (1)" in overview,
                 f"purgeline(1) has {command}")
    told = w.run(f"groff -man -ww -Tutf8 -z {ROOT}/deploy/man/purgeline.1")
    score.ok(told == (0, ""), "groff understands purgeline(1)", told)


def help_is_true(w, score):
    """What --help shows, the command takes; and what the sources take is shown."""
    shown = set()
    for command in w.commands:
        refused = []
        for letter, names, argument, optional in w.options(command):
            shown.update(names)
            value = VALUES[argument] if argument else ""
            given = [f"--{name}" + (f"='{value}'" if argument else "") for name in names]
            if letter:
                given.append(f"-{letter}" + (("" if optional else " ") + f"'{value}'" if argument else ""))
            for words in given:
                code, told = w.run(f"purgeline {command} {words} --help")
                if code != 0 or "usage: " not in told:
                    refused.append((words, told))
        score.ok(not refused and list(w.options(command)), f"{command} takes the options in its help", refused)
    folder = f"{ROOT}/src/cli"
    for name in sorted(os.listdir(folder)):
        if name.startswith("cmd_") and name.endswith(".c"):
            with open(f"{folder}/{name}") as source:
                takes = set(re.findall(r'\{"([a-z-]+)", (?:no|required|optional)_argument', source.read()))
            score.ok(takes <= shown, f"the options of {name} are in a help", takes - shown)


class Shell:
    """An interactive shell."""

    def __init__(self, w, *command, **more_env):
        self.told = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(w.dir)
            os.execvpe(command[0], command, {**w.env, **more_env})

    def says(self, pattern):
        end = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.told, re.S)):
            left = end - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {pattern} in {self.told!r}")
            self.told += os.read(self.fd, 65536).decode(errors="replace")
        self.told = self.told[found.end():]
        return found.group(1)

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


# What is typed, and what becomes of it when all possible completions are inserted. bash sorts them.
TYPED = [
    ("purgeline stat", "purgeline status"),
    ("purgeline dead ", "purgeline dead drop list retry"),
    ("purgeline dead -a shop-de r", "purgeline dead -a shop-de retry"),
    ("purgeline completion ", "purgeline completion bash fish zsh"),
    ("purgeline help pla", "purgeline help plan"),
    ("purgeline push --lane ", "purgeline push --lane bulk normal urgent"),
    ("purgeline push --lane=u", "purgeline push --lane=urgent"),
    ("purgeline push -f ke", "purgeline push -f keys.txt"),
    ("purgeline push --not", "purgeline push --not-before"),
    ("purgeline status -a ", "purgeline status -a shop-de shop-fr"),
    ("purgeline status --account=shop-f", "purgeline status --account=shop-fr"),
    ("purgeline status -c p.yaml -a shop-f", "purgeline status -c p.yaml -a shop-fr"),
    ("purgeline status -c with", "purgeline status -c with blank.yaml"),
    ("purgeline consume ", "purgeline consume articles"),
    ("purgeline run -l ", "purgeline run -l debug error info warn"),
    ("purgeline push key-", "purgeline push key-"),
]


def bash_completes(w, score):
    w.must("purgeline completion bash > completion.bash && bash -n completion.bash")
    shell = Shell(w, "bash", "--norc", "--noprofile", "-i", PS1="$ ")
    shell.type("bind 'set bell-style none' 'set enable-bracketed-paste off'; . ./completion.bash; echo rea''dy\n")
    shell.says("(ready)\r\n")
    for typed, wanted in TYPED:
        shell.type(f"{typed}\x1b*\x01echo '<'\x05 '>'\n")  # inserts all completions, then shows the line
        shown = shell.says(r"\n< ?([^\r\n]*?) ?>\r\n").strip()
        score.ok(shown == wanted, f"bash: {typed}", f"{shown!r}")
    for command in w.commands:
        shell.type(f"purgeline {command} -\x1b*\x01echo '<'\x05 '>'\n")
        shown = shell.says(r"\n< ?([^\r\n]*?) ?>\r\n").split()[2:]
        wanted = [word for letter, names, _, _ in w.options(command)
                  for word in ([f"-{letter}"] if letter else []) + [f"--{name}" for name in names]]
        score.ok(sorted(shown) == sorted(wanted), f"bash: the options of {command}", shown, wanted)
    shell.close()


def zsh_completes(w, score):
    if not shutil.which("zsh"):
        return
    w.must("purgeline completion zsh > completion.zsh && zsh -n completion.zsh")
    shell = Shell(w, "zsh", "-f", "-i", PS1="$ ", ZDOTDIR=w.dir, TERM="xterm")
    shell.type("unset zle_bracketed_paste; unsetopt prompt_cr prompt_sp; autoload -U compinit && compinit -D -u; "
               ". ./completion.zsh; bindkey '^T' expand-or-complete; setopt no_beep no_auto_menu; echo rea''dy\n")
    shell.says("(ready)\r?\n")
    for typed, wanted in (("purgeline stat", "purgeline status"), ("purgeline push --not", "purgeline push --not-before"),
                          ("purgeline dead ret", "purgeline dead retry"), ("purgeline push -f ke", "purgeline push -f keys.txt"),
                          ("purgeline status -a shop-f", "purgeline status -a shop-fr"),
                          ("purgeline push --lane=u", "purgeline push --lane=urgent"), ("purgeline help pla", "purgeline help plan"),
                          ("purgeline consume art", "purgeline consume articles")):
        shell.type(f"{typed}\x14\x01echo '<'\x05 '>'\n")
        shown = shell.says(r"\n(?:\x1b\[J)?< ?([^\r\n]*?) ?>\r?\n").strip().rstrip("=")
        score.ok(shown == wanted, f"zsh: {typed}", f"{shown!r}")
    shell.close()


def fish_completes(w, score):
    if not shutil.which("fish"):
        return
    w.must("purgeline completion fish > completion.fish && fish --no-execute completion.fish")
    for typed, wanted in (("purgeline stat", {"status"}), ("purgeline dead ", {"list", "retry", "drop"}),
                          ("purgeline push --lane ", {"urgent", "normal", "bulk"}), ("purgeline push --not", {"--not-before"}),
                          ("purgeline status -a ", {"shop-de", "shop-fr"}), ("purgeline consume ", {"articles"}),
                          ("purgeline push --lane=u", {"--lane=urgent"})):
        told = w.must(f"fish -c \"source completion.fish; complete -C '{typed}'\"")
        score.ok({line.split("\t")[0] for line in told.splitlines()} == wanted, f"fish: {typed}", told)


def everything_is_installed(w, score):
    """What the build has printed is what the program prints now."""
    pages = os.environ.get("PAGES")
    if not pages:
        return
    stale = [name for name, command in
             [(f"purgeline-{c}.1", f"help --man {c}") for c in w.commands] +
             [(f"purgeline.{shell}", f"completion {shell}") for shell in ("bash", "zsh", "fish")]
             if subprocess.run(["cmp", "-s", f"{pages}/{name}", "-"], input=w.must(f"purgeline {command}").encode()).returncode]
    score.ok(not stale, "the build has pages for all commands", stale)


def main():
    skip_without("groff", "bash")
    score = Score()
    w = World()
    try:
        for story in (help_is_true, manual_pages, bash_completes, zsh_completes, fish_completes, everything_is_installed):
            story(w, score)
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
