#!/usr/bin/python3
"""Measures what Aviary promises about speed, beside what it is compared to.

usage: tests/bench/run.py --build DIR [--runs N] [SECTION...]   with SECTION of machine, intake,
       plan, memory, rollout, growth, restart, fetch, secrets, hosts, probes; without any all but
       the last two

Prints figures and ends with 0 whatever they are: machines differ, so nothing here is a test.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("sections", nargs="*")
    return parser.parse_args()


def main():
    options = parse()
    build = Path(options.build).resolve()
    os.environ.update(AVIARY=str(build / "aviary"), AVIARY_BUILD=str(build))
    sys.path.insert(0, str(ROOT))
    # they read the environment
    from tests.bench import (fetch, growth, hosts, intake, machine, memory, plan, probes, restart,
                             rollout, secret_files)
    sections = {"machine": machine, "intake": intake, "plan": plan, "memory": memory,
                "rollout": rollout, "growth": growth, "restart": restart, "fetch": fetch,
                "secrets": secret_files, "hosts": hosts, "probes": probes}
    unknown = [name for name in options.sections if name not in sections]
    if unknown:
        sys.exit(f"bench: no section '{unknown[0]}': there are {', '.join(sections)}")
    print(f"{os.cpu_count()} processors, {platform.machine()}, Linux {platform.release()}; "
          f"load {os.getloadavg()[0]:.1f} at the start; {options.runs} runs of each")
    if os.getloadavg()[0] > os.cpu_count() / 2:
        print("The machine has other work: times are too long, ratios to busy programs too small.")
    for name in options.sections or [each for each in sections if each not in
                                     ("hosts", "probes")]:
        with tempfile.TemporaryDirectory(prefix="aviary-bench-") as folder:
            sections[name].measure(build, Path(folder), max(options.runs, 1))


if __name__ == "__main__":
    main()
