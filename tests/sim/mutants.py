#!/usr/bin/python3
"""Deliberate faults in the rollout machine: each of them must be found by the simulation.

usage: tests/sim/mutants.py --build DIR [--runs N] [NAME...]   (what `make mutants` calls)

Each fault of mutants.txt is one exact substitution. It is applied to a copy of its file, which is
compiled and linked in place of the original. A text that does not occur exactly once is an error:
the machine changed, so the fault has to be chosen anew.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = Path(__file__).with_name("mutants.txt")
TIMEOUT_S = 900  # a fault may well be one that never ends


class Mutant:
    def __init__(self, name, path, old, new):
        self.name, self.path, self.old, self.new = name, path, old, new


def read_table():
    """`= name`, `@ file`, lines with `-` (found) and `+` (put there)."""
    mutants, name, path, old, new = [], None, None, [], []
    for line in [*TABLE.read_text().splitlines(), "= end"]:
        if line.startswith("= "):
            if name:
                mutants.append(Mutant(name, path, "\n".join(old), "\n".join(new)))
            name, old, new = line[2:], [], []
        elif line.startswith("@ "):
            path = line[2:]
        elif line.startswith("-"):
            old.append(line[1:])
        elif line.startswith("+"):
            new.append(line[1:])
    return mutants


def mutated(mutant):
    text = (ROOT / mutant.path).read_text()
    count = text.count(mutant.old)
    if count != 1:
        raise ValueError(f"its text occurs {count} times in {mutant.path}")
    return text.replace(mutant.old, mutant.new)


def build(mutant, folder, build_dir):
    """The simulation with the fault: one file compiled, everything else as it is."""
    source = folder / Path(mutant.path).name
    source.write_text(mutated(mutant))
    program, compiled = folder / "sim", folder / "mutant.o"
    compiler = shlex.split(os.environ["SIM_COMPILE"])
    subprocess.run([*compiler, "-w", "-c", "-o", str(compiled), str(source)], cwd=ROOT, check=True,
                   capture_output=True)
    objects = [str(build_dir / "tests/sim.parts" / f"{path.stem}.o")
               for path in sorted((ROOT / "tests/sim").glob("*.c"))]
    subprocess.run([*shlex.split(os.environ["SIM_LINK"]), "-o", str(program), *objects, str(compiled),
                    str(build_dir / "libaviary.a"), *shlex.split(os.environ["SIM_LIBS"])],
                   cwd=ROOT, check=True, capture_output=True)
    return program


def last_line(text):
    lines = [line for line in text.splitlines() if line.startswith("seed ")]
    return lines[0] if lines else text.strip().splitlines()[-1] if text.strip() else "no output"


def hunt(mutant, build_dir, runs):
    """(found, what to say)"""
    with tempfile.TemporaryDirectory(prefix="aviary-mutant-") as folder:
        try:
            program = build(mutant, Path(folder), build_dir)
        except ValueError as error:
            return None, str(error)
        except subprocess.CalledProcessError as error:
            return None, "does not compile:\n" + error.stderr.decode(errors="replace")
        command = ["nice", "-n", "10", str(program), "--runs", str(runs), "--seed", "1", "--no-shrink"]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return True, "it never ends"
    return done.returncode != 0, last_line(done.stdout.decode(errors="replace"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--runs", type=int, default=200000)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    build_dir = (ROOT / arguments.build).resolve()
    mutants = [m for m in read_table() if not arguments.names or m.name in arguments.names]
    done = subprocess.run([str(build_dir / "tests/sim"), "--runs", str(arguments.runs), "--seed", "1",
                           "--no-shrink"], capture_output=True, text=True, check=False)
    if done.returncode:  # whatever breaks without a fault would be called found
        print(f"without any fault: {last_line(done.stdout)}")
        return 1
    found = survived = broken = 0
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        hunts = pool.map(lambda m: hunt(m, build_dir, arguments.runs), mutants)
        for mutant, (is_found, text) in zip(mutants, hunts):
            word = "ERROR" if is_found is None else "found" if is_found else "SURVIVED"
            found += is_found is True
            survived += is_found is False
            broken += is_found is None
            print(f"{word:8} {mutant.name}: {text}", flush=True)
    print(f"{found} found, {survived} survived" + (f", {broken} do not apply" if broken else ""))
    return 1 if survived or broken or not found else 0


if __name__ == "__main__":
    sys.exit(main())
