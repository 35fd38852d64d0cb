"""What the service costs per client: `local` hosts whose activation is /bin/true, no checks."""

import json
import os
import resource
import subprocess
import time

from tests.bench import figures, memory
from tests.lib import fleet as fleet_lib
from tests.lib.gitserver import git

CLIENTS = 200
PER_CLIENT_MS = 20


def children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def apply(build, folder):
    """(seconds, processor seconds) of one `aviary apply` with git and the activations."""
    began, before = time.monotonic(), children_cpu_s()
    done = subprocess.run([build / "aviary", "apply", "-c", folder / "aviary.yaml", "--json"],
                          stdout=subprocess.PIPE, encoding="utf-8", check=False,
                          env=fleet_lib.environment())
    took = time.monotonic() - began
    last = json.loads(done.stdout.splitlines()[-1])
    if last["result"] != "succeeded":
        print(f"  apply ended as {last['result']}")
    return took, children_cpu_s() - before


def measure_once(build, folder):
    """(onboarding, upgrade, processor time of the upgrade, its pushes): for all clients."""
    subprocess.run([build / "tests/fleet_make", folder, str(CLIENTS), "--local"], check=True)
    (folder / "clients").mkdir()
    bare = folder / "repo.git"
    git(bare, "gc", "-q")
    (folder / "aviary.yaml").write_text(memory.CONFIG.format(folder=folder, branch="main"))
    (folder / "api-token").write_text(fleet_lib.API_TOKEN)
    (folder / "api-token").chmod(0o600)
    git(bare, "config", "core.logAllRefUpdates", "always")
    onboarding, _ = apply(build, folder)
    git(bare, "update-ref", "refs/heads/main", "refs/heads/compose")
    log = bare / "logs/refs/heads/deployments"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    upgrade, cpu = apply(build, folder)
    pushes = len(log.read_text().splitlines()) - before if log.exists() else 0
    return onboarding, upgrade, cpu, pushes


def floor_ms(folder):
    """What the disk alone takes for one client: files, fsync, rename, as the driver must."""
    began = time.monotonic()
    for client in range(CLIENTS):
        path = folder / f"floor-{client}"
        with open(path, "wb") as file:
            file.write(b"x" * 500)
            file.flush()
            os.fsync(file.fileno())
        path.rename(folder / f"done-{client}")
    return (time.monotonic() - began) * 1000 / CLIENTS


def measure(build, folder, runs):
    runs = min(runs, 3)
    figures.section(f"Rollout of {CLIENTS} `local` clients without checks, batch 50%",
                    "`aviary apply`, commits and push to a bare repository included; per client")
    taken = [measure_once(build, folder / str(run)) for run in range(runs)]
    figures.row("onboarding", [run[0] * 1000 / CLIENTS for run in taken], "ms")
    upgrade = figures.row("upgrade", [run[1] * 1000 / CLIENTS for run in taken], "ms")
    figures.row("  processor time, git and activations included",
                [run[2] * 1000 / CLIENTS for run in taken], "ms")
    figures.row("pushes of the status branch in an upgrade", [run[3] for run in taken], "in all")
    (folder / "floor").mkdir()
    figures.row("compared: write, fsync and rename one file",
                [floor_ms(folder / "floor") for _ in range(runs)], "ms")
    figures.goal("upgrade per client, ms", upgrade.middle, PER_CLIENT_MS)
