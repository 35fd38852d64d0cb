#!/usr/bin/python3
"""Calls that do not belong into this program, each with what takes their place."""

import re

from csource import Findings, code_of, read, tracked

BUF = "use base/buf.h or snprintf"
BANNED = {
    "strcpy": BUF, "stpcpy": BUF, "strcat": BUF, "strncat": BUF, "strncpy": BUF,
    "sprintf": BUF, "vsprintf": BUF, "asprintf": "use mem_printf", "vasprintf": "use mem_printf",
    "gets": "use a limit", "scanf": "use a parser",
    "strtok": "use strcspn", "strtok_r": "use strcspn",
    "atoi": "use strtoll and look at its end", "atol": "use strtoll and look at its end",
    "atof": "use strtod and look at its end",
    "system": "use base/exec.h", "popen": "use base/exec.h", "vfork": "use base/exec.h",
    "alloca": "use base/mem.h", "malloc": "use mem_alloc", "calloc": "use mem_zero",
    "realloc": "use mem_resize", "strdup": "use mem_dup_str", "strndup": "use mem_dup",
    "rand": "use getrandom", "srand": "use getrandom", "random": "use getrandom",
    "tmpnam": "use mkdtemp", "tempnam": "use mkdtemp", "mktemp": "use mkdtemp",
    "gmtime": "use gmtime_r", "localtime": "use base/clock.h", "ctime": "use base/clock.h",
    "asctime": "use base/clock.h", "setjmp": "return false", "longjmp": "return false",
    "sleep": "wait for a fact", "usleep": "wait for a fact", "goto": "use CLEANUP",
}
# calls that have to be made in one place
ALLOWED = {
    "tests/sim/memory.c": {"malloc", "calloc", "realloc"},
    "base/mem.h": {"malloc", "calloc", "realloc", "strdup", "strndup", "vasprintf"},
    "base/exec.c": {"fork"},
    # processes that are killed in the middle of what they do
    "tests/unit/test_fs.c": {"fork"},
    "tests/unit/test_local_crash.c": {"fork"},
    "tests/tools/kill_at.c": {"fork"},
    # they ask again and again for a fact that another process makes
    "tests/unit/test_checks.c": {"usleep"},
    "tests/lib/local_host.h": {"usleep"},
}
FORK = "use base/exec.h"
CALL = re.compile(r"(?<![\w.>])(" + "|".join([*BANNED, "fork"]) + r")\s*\(|\b(goto)\b")


def main():
    findings = Findings()
    for name in tracked("*.c", "*.h"):
        for number, line in enumerate(code_of(read(name)).splitlines(), 1):
            for match in CALL.finditer(line):
                call = match.group(1) or match.group(2)
                if call not in ALLOWED.get(name, ()):
                    findings.add(name, number, f"{call}: {BANNED.get(call, FORK)}")
    findings.finish()


if __name__ == "__main__":
    main()
