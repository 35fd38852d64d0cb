"""Machines that are not as they should be: a state folder that nobody can write, a clock that is set
back a year, a remote that says yes and forgets. (Full disks: test_full_disk.py.)
"""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lib.faulty import Site, final_results, scratch_folder, wait_until
from tests.lib.fleet import AVIARY, CLIENTS, POLICY, WITH_API
from tests.lib.gitserver import set_hook

BRANCH = "refs/heads/deployments"
UP = "web 1.0.0 -> 2.0.0"


@pytest.fixture(name="folder", scope="module")
def make_folder():
    with scratch_folder("odd") as folder:
        yield folder


@pytest.fixture(name="ready", scope="module")
def make_ready(folder):
    return Site.make_ready(folder / "ready")


@pytest.fixture(name="site")
def copy_ready(ready, request):
    with ready.copy_for(request) as site:
        yield site


def begun(site, version):
    """Clients whose activation of this version began."""
    return {client for client in ("alpha", "beta", "gamma")
            for entry in site.diary(client) if entry[:2] == ("begin", version)}


def assert_all_run(site, version):
    for client in ("alpha", "beta", "gamma"):
        assert site.running(client) == version
        assert site.host_state(client)["phase"] == "active"


def assert_one_final_each(site):
    assert all(len(results) == 1 for results in final_results(site.facts()).values())


# ---- a state folder that cannot be written ----------------------------------------------------

@contextlib.contextmanager
def read_only(place):
    """By a mount for root, by modes for everybody else; skipped where mounts are forbidden."""
    if os.geteuid() == 0:
        bound = subprocess.run(["mount", "--bind", place, place], stderr=subprocess.DEVNULL,
                               check=False).returncode == 0
        if not bound:
            pytest.skip("these tests may not mount")
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        undo = [["umount", "-l", str(place)]]
    else:
        subprocess.run(["chmod", "-R", "a-w", place], check=True)
        undo = [["chmod", "-R", "u+w", str(place)]]
    try:
        yield
    finally:
        for command in undo:
            subprocess.run(command, check=True)


def test_a_state_folder_that_cannot_be_written_is_told_at_the_start(site):
    with read_only(site.folder / "state"):
        for command in ("serve", "apply"):
            site.configure()
            status, output = site.aviary(command, "-c", str(site.config))
            assert status == 1, output
            assert str(site.folder / "state") in output, output
            assert re.search(r"can not be written|Read-only file|Permission denied", output), output
    commit = site.commit("2.0.0")
    with site.serve() as service:
        assert site.wait_ended(commit, service=service) == "succeeded"
        assert service.stop() == 0


def test_a_state_folder_that_becomes_read_only_stops_what_is_new(site):
    """In the middle of a deployment: that one ends, nothing else starts, then all of it does."""
    site.arm("activate-begin:alpha:2.0.0")
    with site.serve() as service:
        commit = site.commit("2.0.0")
        site.wait_gate(service)
        with read_only(site.folder / "state"):
            site.leave()
            wait_until("the activation's end", lambda: site.diary("alpha")[-1][:2] == ("end", "2.0.0"))
            problem = service.wait_problem("mirror.git")
            assert re.search(r"ead-only file system|ermission denied", problem), problem
            assert service.request("GET", "/healthz")[0] == 200
            assert begun(site, "2.0.0") == {"alpha"}
        assert site.wait_ended(commit, service=service) == "succeeded"
        wait_until("ready", lambda: service.request("GET", "/readyz")[0] == 200)
        assert service.stop() == 0
    assert_all_run(site, "2.0.0")
    assert_one_final_each(site)


# ---- a remote that forgets --------------------------------------------------------------------

@contextlib.contextmanager
def backup_of(site):
    """The remote as it is now, to be put back by calling what is yielded."""
    kept = site.folder / "backup.git"
    shutil.copytree(site.bare, kept, symlinks=True)

    def restore():
        away = site.folder / "away.git"
        site.bare.rename(away)
        shutil.copytree(kept, site.bare, symlinks=True)
        return away
    yield restore


def put_back(site, away):
    shutil.rmtree(site.bare)
    away.rename(site.bare)


def test_a_remote_restored_from_an_old_backup_stops_the_service(site):
    """Until the newer one is back, or somebody says that the hosts are right."""
    with backup_of(site) as restore, site.serve() as service:
        commit = site.commit("2.0.0")
        site.wait_ended(commit, service=service)
        service.wait_status("rest", lambda now: now.get("idle"))
        away = restore()
        problem = service.wait_problem("is shorter")
        assert "--accept-history" in problem
        service.looked()
        assert service.request("GET", "/readyz")[0] == 503
        assert_all_run(site, "2.0.0")  # the old commit is the newest one there: it touches nobody
        put_back(site, away)
        wait_until("ready", lambda: service.request("GET", "/readyz")[0] == 200)
        again = site.commit("2.1.0")
        assert site.wait_ended(again, service=service) == "succeeded"
        assert service.stop() == 0
    assert_one_final_each(site)


def test_after_an_old_backup_the_hosts_tell_what_they_run(site):
    with backup_of(site) as restore, site.serve() as service:
        commit = site.commit("2.0.0")
        site.wait_ended(commit, service=service)
        service.wait_status("rest", lambda now: now.get("idle"))
        restore()
        service.wait_problem("is shorter")
        assert service.stop() == 0
    told = len(site.facts())
    status, output = site.apply("--accept-history")
    assert status == 0, output
    subjects = site.subjects()[told:]
    assert any(re.match(r"drift\(alpha\): the host runs release \w{8}, taken from it", subject)
               for subject in subjects), subjects
    assert_all_run(site, "1.0.0")  # what the newest commit there wants, canary first
    with site.serve() as service:
        last = site.commit("2.2.0")
        assert site.wait_ended(last, service=service) == "succeeded"
        assert service.stop() == 0
    assert_all_run(site, "2.2.0")


FORGET = r"""
while read -r old new ref; do
	case "$ref" in refs/heads/deployments)
		if git log --format=%s "$old..$new" | grep -qF "deploy(alpha): "; then
			git update-ref "$ref" "$old"
		fi;;
	esac
done
"""


def test_a_remote_that_accepts_an_intent_and_forgets_it_lets_one_client_through(site):
    """Nobody can know before the next fetch. That client ends as it should, no other one begins."""
    set_hook(site.bare, "post-receive", FORGET)
    with site.serve() as service:
        commit = site.commit("2.0.0")
        service.wait_problem("is shorter")
        service.looked()
        assert service.request("GET", "/readyz")[0] == 503
        assert begun(site, "2.0.0") <= {"alpha"}
        kept = site.folder / "state/mirror.git"
        site.write_hooks()  # it is mended, and has what the service knows
        seen = subprocess.run(["git", "-C", kept, "rev-parse", "refs/aviary/seen/deployments"],
                              check=True, stdout=subprocess.PIPE).stdout.decode().strip()
        site.git("fetch", "-q", str(kept), seen)
        site.git("update-ref", BRANCH, seen)
        assert site.wait_ended(commit, service=service) == "succeeded"
        wait_until("ready", lambda: service.request("GET", "/readyz")[0] == 200)
        assert service.stop() == 0
    assert_all_run(site, "2.0.0")
    assert_one_final_each(site)
    for client in ("alpha", "beta", "gamma"):
        assert len([entry for entry in site.diary(client) if entry[:2] == ("begin", "2.0.0")]) == 1


# ---- a clock that is set ----------------------------------------------------------------------

class Clock:
    """The wall clock of a service, moved while it runs; the monotonic one stays as it is."""

    def __init__(self, folder):
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            pytest.skip("faketime is not installed")
        if any(mark in Path(AVIARY).read_bytes() for mark in (b"__asan_init", b"__tsan_init")):
            pytest.skip("a sanitizer's runtime has to be loaded before any other")
        self.file = folder / "clock"
        self.set("+0")
        self.environment = {"LD_PRELOAD": str(found[0]), "FAKETIME_TIMESTAMP_FILE": str(self.file),
                            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        part = self.file.with_suffix(".part")
        part.write_text(offset + "\n")
        part.rename(self.file)


@pytest.fixture(name="clock")
def make_clock(idle_fleet):
    return Clock(idle_fleet.folder)


def assert_all_went_well(fleet, *commits):
    for commit in commits:
        assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
        assert fleet.ends(commit) == ["succeeded"]
    ids = [fact.rollout for fact in fleet.history() if fact.subject.endswith("): started")
           and fact.subject.startswith("rollout(")]
    assert ids == sorted(set(ids))
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}
    for command in (("history", "--verify"), *(("replay", each) for each in ids)):
        done = fleet.command(*command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("offset", ["-365d", "+365d"])
def test_a_clock_that_is_set_during_a_rollout_changes_nothing_of_it(idle_fleet, clock, offset):
    """Bake, verification, time-outs and the schedules go by the monotonic clock; ids still go up."""
    fleet = idle_fleet
    fleet.start(env=clock.environment).settle()
    fleet.hold_back("beta")
    during = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("beta", during)
    clock.set(offset)
    fleet.let_go("beta")
    fleet.settle(during)
    after = fleet.upgrade("1.0.2")
    fleet.settle(after)
    assert "activate did not end" not in fleet.service.log()
    clock.set("+0")
    back = fleet.upgrade("1.0.3")
    fleet.settle(back)
    assert_all_went_well(fleet, during, after, back)
    for fact in fleet.history():  # of what a clock set back ends before it began there is none
        assert re.fullmatch(r"(\d+[dhms])*", fact.duration), fact


def test_a_service_starts_with_a_clock_that_is_a_year_behind(idle_fleet, clock):
    """What it reads is a year ahead of it: ids, records, its own leadership."""
    fleet = idle_fleet
    clock.set("-365d")
    fleet.start(env=clock.environment).settle()
    first = fleet.upgrade("1.0.1")
    fleet.settle(first)
    done = fleet.command("pause", "beta", "--reason", "somebody works there")
    assert done.returncode == 0, done.stderr
    fleet.service.stop()
    fleet.start(env=clock.environment).settle()
    assert fleet.command("resume", "beta").returncode == 0
    fleet.settle()
    second = fleet.upgrade("1.0.2")
    fleet.settle(second)
    assert_all_went_well(fleet, first, second)
    assert fleet.service.api("status")["leader"]["epoch"] == 3


def test_windows_go_by_the_wall_clock_as_it_is_now(idle_fleet, clock):
    """A window that a clock set back closes, and set right opens."""
    fleet = idle_fleet
    fleet.start(env=clock.environment).settle()
    hour = int(subprocess.run(["date", "-u", "+%H"], check=True, stdout=subprocess.PIPE).stdout)
    window = f'[{{from: "{hour:02}:00", to: "{(hour + 2) % 24:02}:00", zone: UTC}}]'
    clock.set("+12h")
    fleet.edit(POLICY, "group: production,", f"group: production, windows: {window},")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the window", lambda: fleet.ends(commit) == ["waiting"])
    assert fleet.rollout(commit)["waits_for"] == "the next window of production"
    clock.set("+0")
    fleet.settle(commit)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
