"""From the start of the service to its first action: a commit waits that changes one of many clients."""

import shutil
import subprocess
import time

from tests.bench import figures, memory
from tests.lib import fleet as fleet_lib
from tests.lib.gitserver import git

CLIENTS = 10000
STEPS = ("listening", "leading", "rollout starts", "activating release")


def start(folder):
    """{step: milliseconds since the start}, its processor time and its memory at most in MB."""
    service = fleet_lib.Service(folder / "aviary.yaml", folder / "aviary.log")
    service.log_file.unlink(missing_ok=True)
    began, taken = time.monotonic(), {}
    try:
        service.start(ready=False)
        while len(taken) < len(STEPS):
            log = service.log()
            for step in STEPS:
                if step not in taken and step in log:
                    taken[step] = (time.monotonic() - began) * 1000
            service.check_alive()
            time.sleep(0.002)
        taken["processor"] = figures.cpu_s(service.process.pid) * 1000
        taken["memory"] = figures.memory_kib(service.process.pid, "VmHWM") / 1024
    finally:
        service.kill()
    return taken


def prepare(build, folder):
    """A remote and a state folder at rest on main, where all clients are recorded."""
    subprocess.run([build / "tests/fleet_make", folder, str(CLIENTS), "--deployed"], check=True)
    (folder / "clients").mkdir()
    git(folder / "repo.git", "gc", "-q")
    (folder / "aviary.yaml").write_text(memory.CONFIG.format(folder=folder, branch="main"))
    (folder / "api-token").write_text(fleet_lib.API_TOKEN)
    (folder / "api-token").chmod(0o600)
    service = fleet_lib.Service(folder / "aviary.yaml", folder / "aviary.log")
    service.start()
    service.wait_for("rest", lambda: service.api("status")["idle"])
    service.stop()
    refs = git(folder / "repo.git", "rev-parse", "deployments")
    git(folder / "repo.git", "update-ref", "refs/heads/main", "refs/heads/secret")
    shutil.copytree(folder / "state", folder / "state-at-rest", symlinks=True)
    return refs


def again(folder, tip, empty):
    """As prepare() left it, with or without its state folder; one start."""
    bare = folder / "repo.git"
    git(bare, "update-ref", "refs/heads/deployments", tip)
    for tag in git(bare, "tag", "-l").split():
        git(bare, "tag", "-d", tag, stderr=subprocess.DEVNULL)
    for name in ("state", "clients"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "clients").mkdir()
    if not empty:
        shutil.copytree(folder / "state-at-rest", folder / "state", symlinks=True)
    return start(folder)


def measure(build, folder, runs):
    tip = prepare(build, folder)
    for title, empty in (("the same machine", False), ("an empty machine", True)):
        figures.section(f"Restart with {CLIENTS:,} clients recorded, {title}",
                        "a commit waits that changes one client; 500 rollouts recorded")
        taken = [again(folder, tip, empty) for _ in range(min(runs, 3))]
        for step in STEPS:
            figures.row(f"until `{step}`", [run[step] for run in taken], "ms")
        figures.row("  processor time, git's included", [run["processor"] for run in taken], "ms")
        figures.row("memory at most", [run["memory"] for run in taken], "MB")
