#!/usr/bin/python3
"""Runs the tests of a build folder and ends with `N passed, N failed, N skipped`.

usage: tests/run.py --build DIR KIND...   with KIND of unit, fuzz, sim, e2e
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
E2E_AT_ONCE = 2  # files; more would fight for the processors of a small machine
UNIT_TIMEOUT_S = 300  # one program; under sanitizers the slowest needs a minute
SIM_RUNS = 200000  # fresh ones
SIM_RUNS_SANITIZED = 6000  # a run takes twenty times as long there
SIM_TIMEOUT_S = 1200


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def environment(build):
    env = dict(os.environ, AVIARY=str(build / "aviary"), AVIARY_BUILD=str(build), LC_ALL="C.UTF-8")
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("LSAN_OPTIONS", f"suppressions={ROOT / 'tests/lib/lsan-suppressions-cut'}"
                                   ":print_suppressions=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    suppressions = ROOT / "tests/lib/tsan-suppressions"
    if suppressions.exists():
        env.setdefault("TSAN_OPTIONS", f"suppressions={suppressions}:second_deadlock_stack=1")
    return env


def run_program(command, env, timeout_s=UNIT_TIMEOUT_S):
    """Output and exit status of one test program; a program that hangs is a failure with a name."""
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout_s, check=False)
        return done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "\ntimed out\n", 124


def skip_reason(name, output):
    """What a skipped test said before it gave up."""
    said = re.search(rf"^\[ RUN +\] {name}\n(.*?)^\[ +SKIPPED \] {name}$", output, re.M | re.S)
    told = re.findall(r"^skipped: (.+)$", said.group(1), re.M) if said else []
    return told[-1] if told else "no reason told"


def run_unit(build, counts, env):
    for program in sorted((build / "tests/unit").glob("test_*")):
        if program.suffix or not os.access(program, os.X_OK):
            continue
        output, status = run_program([str(program)], env)
        passed = len(re.findall(r"^\[\s+OK \]", output, re.M))
        # cmocka names a skipped or failed test where it ran and again at the end
        skipped_names = sorted(set(re.findall(r"^\[  SKIPPED \] ([a-z_A-Z0-9]+)$", output, re.M)))
        skipped = len(skipped_names)
        failed = len(re.findall(r"^\[  FAILED  \] [a-z_A-Z0-9]+$", output, re.M))
        failed = len(set(re.findall(r"^\[  FAILED  \] ([a-z_A-Z0-9]+)$", output, re.M))) or failed
        if status and not failed:
            failed = 1  # crashed, hung, or a sanitizer's report
        print(f"{program.name}: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
        for name in skipped_names:
            print(f"  skipped: {name}: {skip_reason(name, output)}", flush=True)
        if failed:
            print(output, flush=True)
        counts.add(passed, failed, skipped)


def run_fuzz(build, counts, env):
    """Replays each corpus; looking for new inputs is `make fuzz`."""
    for program in sorted((build / "tests/fuzz").glob("fuzz_*")):
        if program.suffix or not os.access(program, os.X_OK):
            continue
        corpus = ROOT / "tests/fuzz/corpus" / program.name.removeprefix("fuzz_")
        files = sorted(str(path) for path in corpus.glob("*")) if corpus.is_dir() else []
        output, status = run_program([str(program), *files], env)
        print(f"{program.name}: {len(files)} inputs, {'ok' if not status else 'FAILED'}", flush=True)
        if status:
            print(output, flush=True)
        counts.add(0 if status else 1, 1 if status else 0)


def sim_seeds():
    """[(seed, what it once broke)] of tests/sim/seeds.txt."""
    lines = (ROOT / "tests/sim/seeds.txt").read_text().splitlines()
    return [line.split(None, 1) for line in lines if line and not line.startswith("#")]


def sim_first_seed():
    """Fresh whenever the machine or the simulation changes, and the same again for whoever repeats it."""
    digest = hashlib.sha256()
    for pattern in ("reconcile/rollout*.[ch]", "reconcile/loop*.[ch]", "reconcile/fact*.[ch]",
                    "reconcile/event*.[ch]", "reconcile/replay.[ch]", "reconcile/plan_policy.c",
                    "reconcile/plan_records.c", "reconcile/status*.[ch]", "reconcile/batch.[ch]",
                    "tests/sim/*.[ch]"):
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")


def run_sim(build, counts, env):
    """Seeds that once broke a promise, then fresh ones; each processor takes a part of them."""
    program, parts = str(build / "tests/sim"), os.cpu_count() or 1
    sanitized = "-" in build.name
    runs = int(os.environ.get("SIM_RUNS", SIM_RUNS_SANITIZED if sanitized else SIM_RUNS))
    first = int(os.environ.get("SIM_SEED", sim_first_seed()))
    old = [[program, "--seed", seed] for seed, _ in sim_seeds()]
    fresh = [[program, "--runs", str(runs // parts), "--seed", str(first + part * (runs // parts))]
             for part in range(parts)]
    with ThreadPoolExecutor(parts) as pool:
        done = list(pool.map(lambda command: run_program(command, env, SIM_TIMEOUT_S), old + fresh))
    failed = [output for output, status in done if status]
    print(f"sim: {len(old)} seeds that once broke a promise, {runs // parts * parts} fresh runs "
          f"from seed {first}: {len(done) - len(failed)} passed, {len(failed)} failed", flush=True)
    for output in failed:
        print(output, flush=True)
    counts.add(len(done) - len(failed), len(failed))


def run_e2e_file(path, scratch, env, extra):
    """(output, counts) of one file of end-to-end tests."""
    report = Path(scratch) / f"{path.stem}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
               f"--basetemp={scratch}/{path.stem}", f"--junitxml={report}", *extra, str(path)]
    done = subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    if not report.exists():
        return output, (0, 1, 0)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    if done.returncode not in (0, 5) and not failed:
        failed = 1
    return output, (total - failed - skipped, failed, skipped)


def run_e2e(build, counts, env, extra):
    """File by file, two at a time: they mostly wait for what they started."""
    files = sorted((ROOT / "tests/e2e").glob("test_*.py"),
                   key=lambda path: path.stat().st_size, reverse=True)
    with tempfile.TemporaryDirectory(prefix="aviary-tests-") as scratch, \
            ThreadPoolExecutor(E2E_AT_ONCE) as pool:
        runs = {pool.submit(run_e2e_file, path, scratch, env, extra): path for path in files}
        for run in as_completed(runs):
            output, (passed, failed, skipped) = run.result()
            print(f"{runs[run].name}: {passed} passed, {failed} failed, {skipped} skipped",
                  flush=True)
            if failed or skipped:
                print(output, flush=True)
            counts.add(passed, failed, skipped)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("kinds", nargs="+", choices=["unit", "fuzz", "sim", "e2e"])
    arguments, extra = parser.parse_known_args()
    build = (ROOT / arguments.build).resolve()
    counts = Counts()
    env = environment(build)
    if "unit" in arguments.kinds:
        run_unit(build, counts, env)
    if "fuzz" in arguments.kinds:
        run_fuzz(build, counts, env)
    if "sim" in arguments.kinds:
        run_sim(build, counts, env)
    if "e2e" in arguments.kinds:
        run_e2e(build, counts, env, extra)
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
