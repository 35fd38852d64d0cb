"""What tests share that ask a running service for something by its command."""

import getpass
import os
import shutil
import subprocess

from tests.lib.fleet import AVIARY, PATIENCE_S, POLICY, environment
from tests.lib.gitserver import git


def done(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def run(*arguments):
    return subprocess.run([AVIARY, *map(str, arguments)], capture_output=True, text=True,
                          env=environment(), timeout=PATIENCE_S, check=False)


def me():
    return getpass.getuser()


def newest(fleet, subject):
    """The newest fact with that subject."""
    return [fact for fact in fleet.history() if fact.subject == subject][-1]


def lose_state(fleet):
    """kill -9, and an empty state folder."""
    fleet.service.kill()
    shutil.rmtree(fleet.state)
    fleet.state.mkdir(mode=0o700)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def left_over(fleet):
    """Files of steps on the service machine that nobody took away."""
    return [path for path in (fleet.state / "steps").rglob("*")
            if path.is_file() and path.name != "lock"]


def clear_away(fleet):
    """As on a forge that keeps no commit which is on no branch."""
    git(fleet.bare, "reflog", "expire", "--expire=now", "--all")
    git(fleet.bare, "-c", "gc.pruneExpire=now", "gc", "-q", "--prune=now")


def fail(fleet, client="alpha", version="1.0.1"):
    """An upgrade that fails on one client; returns the commit."""
    fleet.sick(client, f"api:{version}")
    commit = fleet.upgrade(version)
    fleet.wait_for("the failure", lambda: fleet.ends(commit) == ["failed"])
    fleet.settle()
    return commit


def wait_for_approval(fleet):
    """An upgrade whose production waits; returns the commit and the rollout's id."""
    fleet.edit(POLICY, "batch: 2}", "batch: 2, approval: manual}")
    fleet.push("Production by hand")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the question", lambda: fleet.rollouts(commit)
                   and fleet.rollout(commit)["state"] == "waiting")
    return commit, fleet.rollout(commit)["id"]
