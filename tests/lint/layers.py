#!/usr/bin/python3
"""Includes point down only: server -> reconcile -> {git, templates} -> base.

`reconcile/secrets`, `drivers` and `checks` are leaves of reconcile: they include neither each other
nor anything of reconcile itself. Includes of ours are written from the root.
"""

import os.path
import re

from csource import ROOT, Findings, read, tracked

LEAVES = ("reconcile/secrets", "reconcile/drivers", "reconcile/checks")
MAY = {
    "base": {"base"},
    "git": {"git", "base"},
    "templates": {"templates", "base"},
    "reconcile": {"reconcile", *LEAVES, "git", "templates", "base"},
    "server": {"server", "reconcile", *LEAVES, "git", "templates", "base"},
    **{leaf: {leaf, "base"} for leaf in LEAVES},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def layer_of(name):
    folder = os.path.dirname(name)
    if folder in MAY:
        return folder
    return folder.split("/")[0]


def check_include(name, number, target, findings):
    layer = layer_of(name)
    if not (ROOT / target).is_file():
        findings.add(name, number, f"include '{target}' is not written from the root")
    elif layer in MAY and layer_of(target) not in MAY[layer]:
        findings.add(name, number, f"{layer} must not include '{target}'")


def main():
    findings = Findings()
    for name in tracked("*.c", "*.h"):
        for number, line in enumerate(read(name).splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quoted, target = match.group(1) == '"', match.group(2)
            if quoted:
                check_include(name, number, target, findings)
            elif (ROOT / target).is_file():
                findings.add(name, number, f"include of ours in <>: '{target}'")
    findings.finish()


if __name__ == "__main__":
    main()
