"""Events per second of the rollout machine, in the simulated world that checks every promise after each."""

import re
import subprocess

from tests.bench import figures

RUNS = 20000
ROLLOUTS_PER_S = 5000
LINE = re.compile(r"^\d+ runs, (\d+) rollouts, (\d+) events: (\d+) rollouts/s, (\d+) events/s$", re.M)


def measure_once(build, seed):
    """Rollouts, events, and both per second of processor time."""
    done = subprocess.run([build / "tests/sim", "--runs", str(RUNS), "--seed", str(seed)],
                          check=True, stdout=subprocess.PIPE, encoding="ascii")
    return [float(value) for value in LINE.search(done.stdout).groups()]


def measure(build, _, runs):
    taken = [measure_once(build, 1 + run * RUNS) for run in range(runs)]
    figures.section(f"The rollout machine, {RUNS:,} simulated runs",
                    "of 1 to 300 clients, with the world around it and every promise checked; one "
                    "processor")
    figures.row("events", [run[3] for run in taken], "a second")
    rollouts = figures.row("rollouts", [run[2] for run in taken], "a second")
    figures.row("events of a rollout", [run[1] / run[0] for run in taken], "each")
    figures.goal("rollouts per second", rollouts.middle, ROLLOUTS_PER_S, at_most=False)
