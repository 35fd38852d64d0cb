#!/usr/bin/python3
"""Each header compiles alone with each compiler that is installed, and tells each prototype.

usage: headers.py [FLAG...]   flags of the compiler, from pkg-config

A comment stands above each prototype. `x_free` and `x_clear` need none: their meaning is the same
everywhere (CONTRIBUTING.md). A comment may head several prototypes that stand together.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from csource import ROOT, Findings, read, tracked
from sizes import ATTRIBUTE, NAME, code_of, prototypes_of

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-I.", "-Wall", "-Wextra", "-Werror",
         "-Wno-missing-field-initializers", "-Wno-unused-function", "-fsyntax-only"]
KNOWN = re.compile(r"_(free|clear|free_at|clear_at)$")


def compile_alone(compiler, name, flags):
    # Included from an empty file: a header as main file may warn about its own #pragma once.
    done = subprocess.run([compiler, *FLAGS, *flags, "-xc", "-"], cwd=ROOT, check=False,
                          input=f'#include "{name}"\n'.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        return name, f"does not compile alone ({compiler}): {first_error(done.stdout)}"
    return None


def first_error(output):
    for line in output.decode(errors="replace").splitlines():
        if "error:" in line:
            return line.split("error:", 1)[1].strip()
    return "no message"


def check_alone(headers, flags, findings):
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    jobs = [(compiler, name, flags) for compiler in compilers for name in headers]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda job: compile_alone(*job), jobs):
            if found:
                findings.add(found[0], 1, found[1])


def has_comment(lines, line):
    """True if a comment ends right above line (counted from 1), or above the prototypes before."""
    index = line - 2
    while index >= 0 and lines[index].strip():
        if "*/" in lines[index]:
            return True
        if re.match(r"\s*#|[}]|DEFINE_", lines[index]):
            return False
        index -= 1
    return False


def check_comments(name, findings):
    text = read(name)
    lines = text.splitlines()
    for line, prototype in prototypes_of(code_of(text)):
        title = NAME.search(ATTRIBUTE.sub("", prototype))
        if not title or re.match(r"[A-Z_]+\(|typedef", ATTRIBUTE.sub("", prototype).strip()) or KNOWN.search(title.group(1)):
            continue
        if not has_comment(lines, line):
            findings.add(name, line, f"{title.group(1)} has no comment")


def main():
    findings = Findings()
    headers = tracked("*.h")
    for name in headers:
        check_comments(name, findings)
    check_alone(headers, sys.argv[1:], findings)
    findings.finish()


if __name__ == "__main__":
    main()
