"""Plans of a generated fleet, each client with a SOPS file of its own, one file changed."""

import subprocess

from tests.bench import figures
from tests.lib.gitserver import git

SMALL, LARGE = 1000, 10000
NAMES = {
    "records": "records of the status branch, read",
    "cold secret": "cold plan, a client's secret changed",
    "cold secret cpu": "  processor time",
    "warm secret-2": "warm plan, another client's secret changed",
    "warm secret-2 cpu": "  processor time",
    "warm compose": "warm plan, the shared compose file changed",
    "cold compose": "cold plan, the shared compose file changed",
}


def make(build, folder, clients):
    """A fleet, its objects in one pack as after a fetch."""
    subprocess.run([build / "tests/fleet_make", folder, str(clients)], check=True)
    git(folder / "repo.git", "gc", "-q")


def read(build, folder, *commits):
    """{what: value} of one process."""
    done = subprocess.run([build / "tests/fleet_plan", folder, *commits], check=True,
                          stdout=subprocess.PIPE, encoding="ascii")
    return {name: float(value) for name, value, _ in
            (line.split("\t") for line in done.stdout.splitlines())}


def measure_fleet(build, folder, clients, runs):
    make(build, folder, clients)
    figures.section(f"Plan of {clients:,} clients", "objects local; a new process for each run")
    taken = [read(build, folder, "secret", "secret-2", "compose") for _ in range(runs)]
    alone = [read(build, folder, "compose") for _ in range(runs)]
    shown = {name: figures.row(text, [run[name] for run in
                                      (alone if name == "cold compose" else taken)], "ms")
             for name, text in NAMES.items()}
    for name, text in (("resident after cold", "resident after the cold plan"),
                       ("resident at most", "resident at most, after all of them")):
        figures.row(text, [run[name] / 1024 for run in taken], "MB")
    return shown


def ratio(build, folder, runs):
    """Processor times of both fleets, taken by turns: other work on the machine meets both."""
    taken = [[read(build, folder / name, "secret")["cold secret cpu"] for name in ("small", "large")]
             for _ in range(max(runs, 5))]
    small, large = zip(*taken)
    figures.section("Cold plan, one secret changed, both fleets by turns", "processor time")
    lows = [figures.row(f"{clients:,} clients", values, "ms").low
            for clients, values in ((SMALL, small), (LARGE, large))]
    figures.goal("cold plan, 10 times the clients, ratio of the smallest", lows[1] / lows[0], 11)


def measure(build, folder, runs):
    measure_fleet(build, folder / "small", SMALL, runs)
    large = measure_fleet(build, folder / "large", LARGE, max(runs // 2, 1))
    # on one core, and a plan waits for nothing: processor time is what does not depend on others
    figures.goal("cold plan, one secret changed, processor ms", large["cold secret cpu"].middle,
                 2000)
    figures.goal("warm plan, one secret changed, processor ms",
                 large["warm secret-2 cpu"].middle, 200)
    ratio(build, folder, runs)
