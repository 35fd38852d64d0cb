"""How figures are taken and shown: several runs, the smallest, the middle and the largest."""

import os
import shutil
import statistics
from pathlib import Path


class Figure:
    """The same thing measured several times."""

    def __init__(self, values):
        self.values = sorted(values)

    @property
    def low(self):
        return self.values[0]

    @property
    def middle(self):
        return statistics.median(self.values)

    @property
    def high(self):
        return self.values[-1]

    def __str__(self):
        return " ".join(f"{number(value):>9}" for value in (self.low, self.middle, self.high))


def number(value):
    """Three digits that count, thousands parted."""
    if value >= 100:
        return f"{value:,.0f}"
    if value < 0.1:
        return f"{value:.4f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def section(title, note=""):
    print(f"\n{title}" + (f"\n  {note}" if note else ""))
    print(f"  {'':46} {'min':>9} {'median':>9} {'max':>9}", flush=True)


def row(name, values, unit):
    """Print one line; returns the figure."""
    figure = Figure(values)
    print(f"  {name:46} {figure} {unit}", flush=True)
    return figure


def goal(text, value, limit, at_most=True):
    """What was asked for beside what was measured. Never a verdict on the run: machines differ."""
    met = value <= limit if at_most else value >= limit
    word = "at most" if at_most else "at least"
    print(f"  {text}: {number(value)}, goal {word} {number(limit)}"
          f" -> {'met' if met else 'NOT MET'}", flush=True)


def share(name, value, limit):
    """`aviary/other what: 0.NN`: a line that programs read, then the goal."""
    print(f"{name}: {value:.3f}" if value < 0.095 else f"{name}: {value:.2f}")
    goal(name, value, limit)


def skipped(what, why):
    print(f"\n{what}: skipped: {why}", flush=True)


def has(what, *programs):
    """Are the programs there? Says what is skipped where one is not."""
    for program in programs:
        if not shutil.which(program):
            skipped(what, f"'{program}' is not installed")
            return False
    return True


def cpu_s(pid):
    """Processor time of a process and of the children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid, key="VmRSS"):
    """What the kernel says of a process: VmRSS now, VmHWM at most."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0
