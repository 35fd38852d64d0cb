"""`aviary_pin`: a client keeps the release that it runs until a day is over, then comes by itself."""

import datetime
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.lib.asking import done, lose_state, newest, run
from tests.lib.fleet import INVENTORY, WITH_API

CLOCK = Path(__file__).resolve().parents[1] / "lib/shifted_clock.c"
DAY_S = 86400


def day(ahead):
    """A day of UTC that is not over for a while."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (today + datetime.timedelta(days=ahead)).isoformat()


def pin(fleet, client, until=None, reason="the fair"):
    fleet.edit(INVENTORY, f"client_name: {client}\n", f"client_name: {client}\n          aviary_pin: "
               f"{{until: {until or day(1)}, reason: {reason}}}\n")


@pytest.fixture(name="clock")
def make_clock(tmp_path):
    """The environment of a service whose clock can be set forward, and how."""
    library, shift = tmp_path / "clock.so", tmp_path / "shift"
    shift.write_text("0")
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-shared", "-fPIC", "-o", str(library),
                    str(CLOCK)], check=True)
    options = os.environ.get("ASAN_OPTIONS", "")
    env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(shift),
           "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0".lstrip(":")}

    def set_forward(seconds):
        part = shift.with_name("part")
        part.write_text(str(seconds))
        part.rename(shift)
    return env, set_forward


def test_a_pinned_client_keeps_its_release_and_the_others_go_on(fleet):
    pin(fleet, "beta")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["succeeded"])
    fleet.settle()
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.1"), beta="1.0.0")
    fact = newest(fleet, f"hold(beta): pinned until {day(1)}")
    assert (fact.client, fact.reason, fact.source_commit) == ("beta", "the fair", commit)
    pinned = fleet.record("beta")["pinned"]
    assert (pinned["until"], pinned["reason"], pinned["commit"]) == (day(1), "the fair", commit)
    status = done(fleet.command("status"))
    assert f"Pinned  beta until {day(1)}, 'the fair'" in status
    (shown,) = fleet.service.api("status")["pinned"]
    assert (shown["client"], shown["until"]) == ("beta", day(1))
    explained = done(fleet.command("explain", "beta"))
    assert f"Pinned until {day(1)}" in explained and commit[:7] in explained
    tip = fleet.tip()
    done(fleet.command("reconcile"))
    fleet.settle()
    assert fleet.tip() == tip and fleet.ends(commit) == ["succeeded"]


def test_a_pinned_canary_is_changed_and_not_healthy(fleet):
    pin(fleet, "alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.activations() == []
    (record,) = fleet.rollouts(commit)
    assert record["state"] == "refused"
    assert record["reasons"] == ["no client may start: pinned alpha"]
    assert "pinned" in fleet.record("alpha")
    result = run("plan", fleet.work, "--to", "HEAD", "--from", "HEAD~1")
    assert result.returncode == 1 and f"pinned until {day(1)}: the fair" in result.stdout
    assert "paused or pinned: no later stage starts" in result.stdout
    fleet.edit(INVENTORY, f"          aviary_pin: {{until: {day(1)}, reason: the fair}}\n", "")
    later = fleet.push("no pin")
    fleet.wait_for("the rollout", lambda: fleet.ends(later) == ["succeeded"])
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    assert "pinned" not in fleet.record("alpha")
    fact = newest(fleet, f"hold(alpha): no longer pinned until {day(1)}")
    assert fact.reason == "not in the inventory any more"


def test_when_its_day_is_over_it_comes_by_itself_through_all_stages(idle_fleet, clock):
    fleet = idle_fleet
    env, set_forward = clock
    fleet.configure(poll="1s")
    fleet.start(env=env).settle()
    pin(fleet, "alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the refusal", lambda: fleet.ends(commit) == ["refused"])
    lose_state(fleet)
    fleet.start(env=env).settle()
    assert fleet.activations() == [] and fleet.record("alpha")["pinned"]["commit"] == commit
    set_forward(3 * DAY_S)
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["refused", "succeeded"])
    assert [each.client for each in fleet.activations()][0] == "alpha"
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    assert newest(fleet, f"hold(alpha): no longer pinned until {day(1)}").reason == \
        "its last day is over"
    assert "pinned" not in fleet.record("alpha")


def test_a_pin_that_comes_in_the_middle_of_an_upgrade_keeps_what_runs_then(fleet):
    """The upgrade of beta is superseded by the pin: what it runs then is verified, and kept."""
    fleet.hold_back("beta")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("beta", commit)
    pin(fleet, "beta")
    later = fleet.upgrade("1.0.2")
    fleet.wait_for("the rollout to be ended", lambda: "superseded_by" in fleet.rollout(commit))
    fleet.let_go("beta")
    fleet.wait_for("the next rollout", lambda: fleet.ends(later) == ["succeeded"])
    fleet.settle()
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.2"), beta="1.0.1")
    record = fleet.record("beta")
    assert record["known_good"]["commit"] == record["commit"] == commit
    assert record["apps"]["api"] == "1.0.1" and record["state"] == "healthy"
    assert [each.commit for each in fleet.activations() if each.client == "beta"] == [commit]
    assert fleet.results(later)["beta"] == ["succeeded"] and fleet.ends(later) == ["succeeded"]


def test_a_pin_alone_changes_nobody(fleet):
    pin(fleet, "beta")
    commit = fleet.push("a pin")
    fleet.wait_for("the record", lambda: "pinned" in fleet.record("beta"))
    fleet.settle()
    assert fleet.activations() == [] and fleet.rollouts(commit) == []
    tip = fleet.tip()
    fleet.service.stop()
    assert run("apply", "-c", fleet.service.config).returncode == 0
    assert fleet.tip() == tip
