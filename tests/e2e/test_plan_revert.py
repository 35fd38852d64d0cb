"""`aviary plan --revert`: what a revert would do, before anybody makes it."""

import json

import pytest

from tests.lib.fleet import APPS, POLICY, WITH_API
from tests.lib.gitserver import git

STEPS = """\
steps:
  backup: {remote: [/bin/true]}
  restore: {remote: [/bin/true], when: ask}
"""


@pytest.fixture(name="upgraded")
def with_upgrade(fleet):
    """A fleet with backups, at api 1.0.1; its work folder knows the status branch."""
    fleet.write(POLICY, fleet.read(POLICY).replace("bake: 200ms", "bake: 300ms, rollback_bake: 100ms")
                + STEPS)
    fleet.settle(fleet.push("Backups"))
    fleet.settle(fleet.upgrade("1.0.1"))
    git(fleet.work, "fetch", "-q", "origin")
    return fleet


def told(fleet, *arguments):
    done = fleet.in_clone("plan", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def text(fleet, *arguments):
    done = fleet.in_clone("plan", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_plan_of_a_revert_is_that_of_the_commit_which_comes_then(upgraded):
    commit = upgraded.head()
    objects = git(upgraded.work, "count-objects", "-v")
    plan = told(upgraded, "--revert", "HEAD")
    assert plan["reverts"] == commit and plan["to"] is None and plan["from"] == commit
    assert [(each["client"], each["stage"], each["action"]) for each in plan["clients"]] == [
        ("alpha", "canary", "rollback"), ("beta", "production", "rollback"),
        ("delta", "production", "rollback"), ("gamma", "production", "rollback")]
    (rollout,) = upgraded.rollouts(commit)
    assert plan["restore"] == "ask"
    assert plan["data"] == [
        {"client": client, "apps": "api 1.0.1 -> 1.0.0", "backup": f"{client}-{rollout['id']}",
         "belongs": True} for client in ("alpha", "beta", "delta", "gamma")]
    lines = text(upgraded, "--revert", "HEAD")
    assert "bake 100ms, then production in waves of 2" in lines
    assert "each upgrade: backup, deploy, verify" in lines
    assert "data of 4 clients would have to come back too" in lines
    assert f"  beta   api 1.0.1 -> 1.0.0: backup beta-{rollout['id']} holds the data" in lines
    assert git(upgraded.work, "count-objects", "-v") == objects  # nothing is left behind

    reverting = upgraded.revert("HEAD")
    upgraded.settle(reverting)
    (made,) = upgraded.rollouts(reverting)
    assert made["plan"] == plan["plan"]
    assert {client: member["action"] for stage in made["stages"]
            for client, member in stage["clients"].items()} == {
                client: "rollback" for client in WITH_API}


def test_only_what_a_client_runs_counts_and_only_its_own_backup(upgraded):
    first = upgraded.head()
    upgraded.write("docker/notes", "no part of any release\n")
    upgraded.settle(upgraded.upgrade("2.0.1", app="web"))
    git(upgraded.work, "fetch", "-q", "origin")
    plan = told(upgraded, "--revert", first)
    actions = {each["client"]: each["action"] for each in plan["clients"]}
    # api 1.0.0 and web 2.0.1 ran together nowhere; gamma and delta have no web
    assert actions == {"alpha": "upgrade", "beta": "upgrade", "gamma": "rollback",
                       "delta": "rollback"}
    assert {each["client"]: each["belongs"] for each in plan["data"]} == {
        "alpha": False, "beta": False, "gamma": True, "delta": True}
    assert "its backup alpha-" in text(upgraded, "--revert", first)


def test_what_nobody_runs_is_reverted_without_touching_anybody(fleet):
    fleet.sick("alpha", "api:1.0.2")
    bad = fleet.upgrade("1.0.2")
    fleet.settle(bad)
    git(fleet.work, "fetch", "-q", "origin")
    lines = text(fleet, "--revert", bad)
    assert lines.startswith("5 clients, none changes. Nothing to do."), lines
    assert "ends the hold of alpha" in lines and "none have to come back" in lines
    fleet.settle(fleet.upgrade("2.0.1", app="web"))  # its canary is as sick
    git(fleet.work, "fetch", "-q", "origin")
    plan = told(fleet, "--revert", bad)  # web comes with it, and takes nobody back
    assert plan["changed"] and plan["data"] == []


def test_a_revert_that_conflicts_says_where(upgraded):
    first = upgraded.head()
    upgraded.edit(APPS, "api:1.0.1", "api:1.0.2")
    upgraded.commit("and another")
    for arguments in ((), ("--json",)):
        done = upgraded.in_clone("plan", "--revert", first, *arguments)
        assert done.returncode == 1 and not done.stdout
        assert f"reverting {first[:7]} on {upgraded.head()[:7]} conflicts in '{APPS}'" in done.stderr
        assert f"git revert {first[:7]}" in done.stderr
    assert git(upgraded.work, "status", "--porcelain") == ""


def test_a_merge_goes_back_to_its_first_parent(upgraded):
    before = upgraded.head()
    git(upgraded.work, "switch", "-q", "-c", "topic")
    upgraded.edit(APPS, "web:2.0.0", "web:2.0.9")
    upgraded.commit("topic")
    topic = upgraded.head()
    git(upgraded.work, "switch", "-q", "main")
    assert "is no part of" in upgraded.in_clone("plan", "--revert", topic).stderr
    git(upgraded.work, "merge", "-q", "--no-ff", "--no-edit", "topic")
    plan = told(upgraded, "--revert", "HEAD")
    assert plan["changed"] == 0 and plan["data"] == []  # it was not deployed: nobody goes back
    assert told(upgraded, "--revert", "HEAD~1", "--to", before)["changed"] == 4
    usage = upgraded.in_clone("plan", "--revert", "HEAD", "--from", "HEAD")
    assert usage.returncode == 2 and "usage: aviary plan" in usage.stderr


def test_without_records_the_commit_before_is_what_runs(upgraded):
    git(upgraded.work, "update-ref", "-d", "refs/remotes/origin/deployments")
    plan = told(upgraded, "--revert", "HEAD")
    assert plan["changed"] == 4 and plan["data"] is None
    assert {each["action"] for each in plan["clients"]} == {"upgrade"}
    assert "is not known: nothing is recorded" in text(upgraded, "--revert", "HEAD")
    done = upgraded.in_clone("plan", "--revert", "no-such-commit")
    assert done.returncode == 1 and "revision 'no-such-commit' does not exist" in done.stderr
