#!/usr/bin/python3
"""Text that does not belong into the tree: notes to oneself, folders of one machine, C++ comments."""

import re

from csource import Findings, read, tracked

BINARY = re.compile(r"\.(png|age|gz)$|^tests/(fuzz/corpus|fixtures)/")
NOTE = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
# folders that exist on the machine of whoever wrote it
MACHINE = re.compile(r"(?<![\w.}/])/(work|root|Users|home/(?!aviary\b)\w+|tmp/[a-z])/|\.libr" r"ary\b")
CXX_COMMENT = re.compile(r"(?<![:\"])//")


def main():
    findings = Findings()
    for name in tracked():
        if BINARY.search(name):
            continue
        text = read(name)
        for number, line in enumerate(text.splitlines(), 1):
            note, machine = NOTE.search(line), MACHINE.search(line)
            if note:
                findings.add(name, number, f"'{note.group()}': open an issue")
            if machine:
                findings.add(name, number, f"'{machine.group()}' names a folder of one machine")
            if line.rstrip() != line and not name.endswith(".md"):
                findings.add(name, number, "blanks at the end of the line")
        if name.endswith((".c", ".h")):
            check_comments(name, text, findings)
    findings.finish()


def check_comments(name, text, findings):
    # Block comments and strings away first; what is left of `//` starts a comment of C++.
    without = re.sub(r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", lambda m: "\n" * m.group().count("\n"),
                     text, flags=re.S)
    for number, line in enumerate(without.splitlines(), 1):
        if CXX_COMMENT.search(line):
            findings.add(name, number, "comment with //")


if __name__ == "__main__":
    main()
