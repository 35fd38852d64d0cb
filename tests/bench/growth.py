"""What facts of the status branch cost on small and large fleets: time, and bytes in the mirror."""

import subprocess

from tests.bench import figures
from tests.lib.gitserver import git

FLEETS = (100, 1000, 10000)
FACTS, PER_PUSH = 1000, 100
FACT_MS, BYTES_RATIO = 15, 3


def read(build, folder, facts):
    """{what: value}: facts appended, then the mirror packed."""
    done = subprocess.run([build / "tests/fact_append", folder, str(facts), str(PER_PUSH)],
                          check=True, stdout=subprocess.PIPE, encoding="ascii")
    return {name: float(value) for name, value, _ in
            (line.split("\t") for line in done.stdout.splitlines())}


def measure_once(build, folder, clients):
    """A fleet whose status branch is in the mirror, and then a thousand facts."""
    subprocess.run([build / "tests/fleet_make", folder, str(clients)], check=True)
    git(folder / "repo.git", "gc", "-q")
    read(build, folder, 0)
    return read(build, folder, FACTS)


def measure_fleet(build, folder, clients, runs):
    taken = [measure_once(build, folder / f"{clients}-{run}", clients) for run in range(runs)]
    figures.section(f"{FACTS:,} facts in pushes of {PER_PUSH}, {clients:,} clients",
                    "commits, and the push to a bare repository; per fact")
    wall = figures.row("time", [run["fact"] for run in taken], "ms")
    figures.row("  processor time, git's own not included", [run["fact cpu"] for run in taken],
                "ms")
    size = figures.row("bytes in the mirror after it was packed", [run["bytes"] for run in taken],
                       "bytes")
    figures.row("  before", [run["bytes before"] for run in taken], "bytes")
    figures.row("packing, in all", [run["packing"] for run in taken], "ms")
    figures.row("packs and loose objects then", [run["files"] for run in taken], "in all")
    return wall, size


def measure(build, folder, runs):
    taken = [measure_fleet(build, folder, clients, min(runs, 3)) for clients in FLEETS]
    figures.goal(f"one fact at {FLEETS[-1]:,} clients, ms", taken[-1][0].low, FACT_MS)
    for clients, (_, size) in zip(FLEETS[1:], taken[1:]):
        figures.goal(f"bytes of a fact, {clients:,} clients against {FLEETS[0]}",
                     size.middle / taken[0][1].middle, BYTES_RATIO)
