"""SOPS and age files: how many per second, beside the real programs where they are in PATH."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench import figures
from tests.lib.sopsfiles import Person

FILES_PER_S = 10_000  # of 10 values, with one core
VALUES = 10_000       # of the large YAML file
MB = 1_000_000


class Run:
    """A program to its end: its time on the clock, its CPU time, its peak memory."""

    def __init__(self, build, argv, env=None):
        done = subprocess.run([build / "tests/run_usage", *argv], env=env, check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        if done.returncode:
            sys.exit(f"bench: {argv[0]}: {done.stderr}")
        wall, cpu, peak = done.stderr.splitlines()[-1].split()
        self.wall, self.cpu, self.peak = float(wall), float(cpu), int(peak) / 1024


def small_files(build, runs):
    figures.section("secrets: files of 10 values, one thread", "CPU time")
    found = {}
    for _ in range(runs):
        text = subprocess.run([build / "tests/sops_bench", "10", "1"], stdout=subprocess.PIPE,
                              check=True, encoding="utf-8").stdout
        for line in text.splitlines()[1:]:
            name, rate, took = re.match(r"(.*?)  +([\d.]+) /s +([\d.]+) us", line).groups()
            found.setdefault(name, []).append((float(rate), float(took)))
    for name, values in found.items():
        figures.row(name, [took for _, took in values], "us of a file")
    rate = figures.row("files opened", [rate for rate, _ in found["open"]], "/s")
    figures.goal("files per second and core, best run", rate.high, FILES_PER_S, at_most=False)


def age_files(build, folder, runs):
    eva = Person(folder / "eva")
    recipient, key, tool = eva.make_key(), eva.path("key.txt"), build / "tests/age_tool"
    rates, peaks = {}, {}
    for size in 10 * MB, 100 * MB:
        plain, ours, out = (folder / f"{name}-{size}" for name in ("plain", "ours", "out"))
        with plain.open("wb") as file:
            for _ in range(size // MB):
                file.write(os.urandom(MB))
        programs = {"ours encrypts": [tool, "encrypt", recipient, plain, "/dev/null"],
                    "ours decrypts": [tool, "decrypt", key, ours, "/dev/null"]}
        subprocess.run([tool, "encrypt", recipient, plain, ours], check=True)
        if shutil.which("age"):
            programs |= {"age encrypts": ["age", "-r", recipient, plain],
                         "age decrypts": ["age", "-d", "-i", key, ours]}
        for _ in range(runs):  # in turn, so that other work is the same for all
            for name, argv in programs.items():
                done = Run(build, argv)
                rates.setdefault((name, size), []).append(
                    (size / MB / done.cpu, size / MB / done.wall))
                peaks.setdefault((name, size), []).append(done.peak)
        subprocess.run([tool, "decrypt", key, ours, out], check=True)
        assert out.read_bytes() == plain.read_bytes()
    show_age(rates, peaks)


def show_age(rates, peaks):
    figures.section("age STREAM: a file of 100 MB", "MB per second of CPU time, start included; the output goes nowhere")
    best = {}
    for (name, size), values in rates.items():
        if size == 100 * MB:
            best[name] = figures.row(name, [cpu for cpu, _ in values], "MB/s").high
    for (name, size), values in rates.items():
        if size == 100 * MB:
            figures.row(f"{name}, by the clock", [wall for _, wall in values], "MB/s")
    for what in "encrypts", "decrypts":
        if f"age {what}" in best:
            figures.goal(f"ours {what}, MB/s, best run", best[f"ours {what}"], best[f"age {what}"],
                         at_most=False)
    if "age encrypts" not in best:
        figures.skipped("age", "not in PATH")
    figures.section("age STREAM: peak memory")
    for name in dict.fromkeys(name for name, _ in peaks):
        small = figures.row(f"{name}, 10 MB", peaks[name, 10 * MB], "MiB")
        large = figures.row(f"{name}, 100 MB", peaks[name, 100 * MB], "MiB")
        if name.startswith("ours"):
            figures.goal(f"{name}: MiB more for 100 MB than for 10 MB",
                         max(large.middle - small.middle, 0), 1)


def large_yaml(build, folder, runs):
    eva = Person(folder / "yaml")
    recipient = eva.make_key()
    eva.write("large.yaml", "".join(f"secret_{i}: value-of-a-password-{i}\n"
                                    for i in range(VALUES)))
    eva.good("encrypt", "-i", "--age", recipient, "large.yaml")
    path = eva.path("large.yaml")
    size = path.stat().st_size / MB
    figures.section(f"one YAML file of {VALUES:,} values, {size:.1f} MB", "to its plain text")
    programs = {"aviary secrets decrypt": [build / "aviary", "secrets", "decrypt", path]}
    if shutil.which("sops"):
        programs["sops decrypt"] = ["sops", "decrypt", path]
    done = {name: [] for name in programs}
    for _ in range(runs):
        for name, argv in programs.items():
            done[name].append(Run(build, argv, eva.env))
    for name, all_runs in done.items():
        figures.row(name, [size / each.cpu for each in all_runs], "MB/s of CPU time")
        figures.row(f"{name}, by the clock", [size / each.wall for each in all_runs], "MB/s")
        figures.row(f"{name}, peak memory", [each.peak for each in all_runs], "MiB")
    if "sops decrypt" not in programs:
        figures.skipped("sops", "not in PATH")


def measure(build, folder, runs):
    subprocess.run(["make", "--no-print-directory", f"BUILD={build}", f"{build}/tests/sops_bench",
                    f"{build}/tests/age_tool", f"{build}/tests/run_usage"], cwd=Path(__file__).parents[2], check=True,
                   stdout=subprocess.DEVNULL)
    small_files(build, runs)
    age_files(build, folder, runs)
    large_yaml(build, folder, runs)
