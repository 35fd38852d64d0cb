#!/usr/bin/python3
"""Limits of CONTRIBUTING.md: files, functions, parameters, lines, nesting.

What may be larger stands in sizes-allowed.txt, a line each: `file[:function] what reason...`.
An entry that is no longer needed is named.
"""

import re
import sys
from pathlib import Path

from csource import Findings, code_of, read, tracked

FILE_LINES = 500
FUNCTION_LINES = 100
LONG_FUNCTION_LINES = 60  # at most 5 % of all functions
LONG_SHARE = 0.05
PARAMETERS = 5
COLUMNS = 100
TAB = 8
NESTING = 3

ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)|\bPRINTF\(\d+, \d+\)")
NAME = re.compile(r"(\w+)\s*\(")
BLOCK = re.compile(r"(?:\) |\belse |\bdo )\{")


def allowed():
    entries = {}
    path = Path(__file__).with_name("sizes-allowed.txt")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line and line[0] != "#":
            where, what, _reason = line.split(maxsplit=2)
            entries[where, what] = number
    return entries


def parameters_of(signature):
    """Number of parameters of the outermost parentheses that end the signature."""
    inside = signature[signature.index("(") + 1:signature.rindex(")")]
    if inside.strip() in ("", "void"):
        return 0
    depth, count = 0, 1
    for char in inside:
        depth += (char in "([{") - (char in ")]}")
        count += char == "," and depth == 0
    return count


def functions_of(lines):
    """(name, first line, lines of the definition, signature, body), counted from 1."""
    start = None
    for index, line in enumerate(lines):
        if line.startswith("{") and index and lines[index - 1].rstrip().endswith(")"):
            start = index
        elif line.startswith("}") and start is not None:
            first = start - 1
            while first and lines[first - 1].strip() and not re.match(
                    r"[#}/]|.*[;{]\s*$", lines[first - 1]):
                first -= 1
            signature = " ".join(part.strip() for part in lines[first:start])
            name = NAME.search(ATTRIBUTE.sub("", signature))
            yield (name.group(1) if name else "?", first + 1, index - first + 1, signature,
                   lines[start + 1:index])
            start = None


def nesting_of(body):
    """Depth of the blocks of control statements; braces of initializers do not count."""
    deepest, open_blocks = 0, []
    for line in body:
        blocks = {match.end() - 1 for match in BLOCK.finditer(line)}
        for column, char in enumerate(line):
            if char == "{":
                open_blocks.append(column in blocks)
                deepest = max(deepest, sum(open_blocks))
            elif char == "}" and open_blocks:
                open_blocks.pop()
    return deepest


def prototypes_of(code):
    """(line, text) of each prototype in a header."""
    for match in re.finditer(r"^[A-Za-z_][^;{}#=]*?\)\s*;", code, re.M):
        yield code.count("\n", 0, match.start()) + 1, " ".join(match.group().split())


class Sizes:
    def __init__(self):
        self.findings = Findings()
        self.allowed = allowed()
        self.used = set()
        self.functions, self.long = 0, []

    def add(self, where, what, name, line, text):
        if (where, what) in self.allowed:
            self.used.add((where, what))
        else:
            self.findings.add(name, line, text)

    def check_lines(self, name, text):
        lines = text.splitlines()
        if len(lines) > FILE_LINES:
            self.add(name, "lines", name, FILE_LINES + 1,
                     f"file has {len(lines)} lines, at most {FILE_LINES}")
        for number, line in enumerate(lines, 1):
            columns = len(line.expandtabs(TAB))
            if columns > COLUMNS:
                self.add(name, "columns", name, number,
                         f"line has {columns} columns, at most {COLUMNS}")

    def check_function(self, name, function):
        title, line, length, signature, body = function
        where = f"{name}:{title}"
        self.functions += 1
        if length > LONG_FUNCTION_LINES:
            self.long.append((name, line, title, length))
        if length > FUNCTION_LINES:
            self.add(where, "lines", name, line,
                     f"{title} has {length} lines, at most {FUNCTION_LINES}")
        depth = nesting_of(body)
        if depth > NESTING:
            self.add(where, "nesting", name, line, f"{title} nests {depth} deep, at most {NESTING}")
        plain = ATTRIBUTE.sub("", signature)
        count = parameters_of(plain[plain.index(title):])
        if signature.startswith("static") and count > PARAMETERS:
            self.add(where, "parameters", name, line,
                     f"{title} has {count} parameters, at most {PARAMETERS}")

    def check_prototypes(self, name, code):
        for line, text in prototypes_of(code):
            text = ATTRIBUTE.sub("", text)
            title = NAME.search(text)
            if not title:
                continue
            count = parameters_of(text[title.start():])
            if count > PARAMETERS:
                self.add(f"{name}:{title.group(1)}", "parameters", name, line,
                         f"{title.group(1)} has {count} parameters, at most {PARAMETERS}")

    def finish(self):
        if self.functions and len(self.long) / self.functions > LONG_SHARE:
            for name, line, title, length in self.long:
                self.findings.add(name, line, f"{title} has {length} lines; more than 5 % of the "
                                  f"functions have over {LONG_FUNCTION_LINES}")
        for where, what in sorted(self.allowed.keys() - self.used):
            print(f"tests/lint/sizes-allowed.txt:{self.allowed[where, what]}: "
                  f"note: '{where} {what}' is not needed any more", file=sys.stderr)
        self.findings.finish()


def main():
    sizes = Sizes()
    for name in tracked("*.c", "*.h"):
        text = read(name)
        code = code_of(text)
        sizes.check_lines(name, text)
        for function in functions_of(code.splitlines()):
            sizes.check_function(name, function)
        if name.endswith(".h"):
            sizes.check_prototypes(name, code)
    sizes.finish()


if __name__ == "__main__":
    main()
