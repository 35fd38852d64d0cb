"""Resident memory of the real service: idle with the example, and with 10,000 clients planned."""

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import figures, plan
from tests.lib import fleet as fleet_lib

ROOT = Path(__file__).resolve().parents[2]
IDLE_MB, LARGE_MB = 20, 64

CONFIG = """\
listen: 127.0.0.1:0
state_dir: "{folder}/state"
repository: {{url: "{folder}/repo.git", branch: {branch}, poll_interval: 1h}}
status: {{branch: deployments, author: "Aviary <aviary@example.org>"}}
age_key_file: "{folder}/key.txt"
api: {{tokens: [{{name: eva, file: "{folder}/api-token", may: [read, write]}}]}}
"""


def idle_with_example(build):
    """The demo's first act, without its words; (resident, at most) in MB."""
    sys.path.insert(0, str(ROOT / "examples"))
    import demo  # not importable before its folder is on the path
    folder = Path(tempfile.mkdtemp(prefix="aviary-bench-example-")).resolve()
    act = demo.Demo(str(build / "aviary"), folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            act.prepare()
            act.onboarding()
            act.service.wait_for("quiet", act.service.is_idle)
        pid = act.service.process.pid
        return figures.memory_kib(pid) / 1024, figures.memory_kib(pid, "VmHWM") / 1024
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            demo.clear_away(act)


def wait_until_quiet(pid):
    """Until a process used no processor for half a second. To ask it would change what is measured."""
    before = -1.0
    while (now := figures.cpu_s(pid)) - before > 0.02:
        before = now
        time.sleep(0.5)


def after_plan(folder, branch):
    """The service that planned a branch of a made fleet and does nothing more."""
    config = folder / "aviary.yaml"
    config.write_text(CONFIG.format(folder=folder, branch=branch))
    token = folder / "api-token"
    token.write_text(fleet_lib.API_TOKEN)
    token.chmod(0o600)
    service = fleet_lib.Service(config, folder / "aviary.log")
    try:
        service.start()
        pid = service.process.pid
        service.wait_for("its plan", lambda: "leading" in service.log())
        wait_until_quiet(pid)
        return figures.memory_kib(pid) / 1024, figures.memory_kib(pid, "VmHWM") / 1024
    finally:
        service.kill()


def measure(build, folder, runs):
    figures.section("Resident memory of the service")
    example = [idle_with_example(build) for _ in range(min(runs, 2))]
    idle = figures.row("idle with the example (5 clients, onboarded)", [run[0] for run in example],
                       "MB")
    figures.row("  at most since its start", [run[1] for run in example], "MB")
    plan.make(build, folder / "large", plan.LARGE)
    planned = [after_plan(folder / "large", "main") for _ in range(min(runs, 3))]
    large = figures.row(f"{plan.LARGE:,} clients, after a plan", [run[0] for run in planned], "MB")
    figures.row("  at most since its start", [run[1] for run in planned], "MB")
    figures.goal("idle with the example, MB", idle.middle, IDLE_MB)
    figures.goal(f"{plan.LARGE:,} clients after a plan, MB", large.middle, LARGE_MB)
