"""Webhooks only say 'look again': forged, repeated, reordered and lost ones change no outcome."""

import re

import pytest

from tests.lib.asking import clear_away, lose_state
from tests.lib.fleet import APPS, POLICY, WITH_API
from tests.lib.gitserver import git, make_bare


def looks(fleet):
    return fleet.service.api("status")["looks"]


def wait_for_look(fleet, before):
    fleet.wait_for("another look", lambda: looks(fleet) > before)
    fleet.settle()


def test_a_delivery_without_the_secret_starts_nothing(fleet):
    old = fleet.head()
    commit = fleet.upgrade("1.0.1", webhook=False)
    before, tip = looks(fleet), fleet.tip()
    for signature in ("", "0" * 64, "zz"):
        assert fleet.service.deliver(fleet.payload(old, commit), signature)[0] == 401
    assert looks(fleet) == before and fleet.tip() == tip
    assert fleet.activations() == []


def test_a_signed_delivery_about_another_commit_deploys_the_newest_one(fleet):
    """What counts is the branch: a delivery may name any commit, real or not."""
    newest = fleet.upgrade("1.0.1", webhook=False)
    assert fleet.service.deliver(fleet.payload("1" * 40, "2" * 40))[0] == 202
    fleet.settle()
    assert fleet.results(newest) == {client: ["succeeded"] for client in WITH_API}


def test_a_delivery_that_comes_again_later_changes_nothing(fleet):
    old = fleet.head()
    first = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.upgrade("1.0.2")
    fleet.settle()
    tip, count, before = fleet.tip(), len(fleet.activations()), looks(fleet)
    for _ in range(5):
        assert fleet.service.deliver(fleet.payload(old, first))[0] == 202
    wait_for_look(fleet, before)
    assert fleet.tip() == tip and len(fleet.activations()) == count
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.2")


def test_deliveries_in_the_wrong_order_end_at_the_newest_commit(fleet):
    base = fleet.head()
    first = fleet.upgrade("1.0.1", webhook=False)
    second = fleet.upgrade("1.0.2", webhook=False)
    assert fleet.service.deliver(fleet.payload(first, second))[0] == 202
    assert fleet.service.deliver(fleet.payload(base, first))[0] == 202
    fleet.settle()
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.2")
    assert fleet.facts(first) == []


def test_a_lost_delivery_is_made_up_by_the_poll(idle_fleet):
    fleet = idle_fleet
    fleet.configure(poll="300ms")
    fleet.start()
    commit = fleet.upgrade("1.0.1", webhook=False)
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_polls_that_find_nothing_leave_the_branch_alone(idle_fleet):
    fleet = idle_fleet
    fleet.configure(poll="100ms")
    fleet.start().settle()
    tip, before = fleet.tip(), looks(fleet)
    fleet.wait_for("five more looks", lambda: looks(fleet) > before + 5)
    assert fleet.tip() == tip


def test_a_push_that_came_while_the_service_was_away_is_found_at_the_start(idle_fleet):
    fleet = idle_fleet
    commit = fleet.upgrade("1.0.1", webhook=False)
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_the_push_of_the_service_itself_is_ignored(fleet):
    before, tip = looks(fleet), fleet.tip()
    status, headers = fleet.service.deliver(
        fleet.payload(git(fleet.bare, "rev-parse", f"{tip}^"), tip, "refs/heads/deployments"))
    assert status == 204 and headers["X-Aviary-Ignored"]
    status, headers = fleet.service.deliver(
        fleet.payload("0" * 40, tip, "refs/tags/rollback/alpha/20261124-101542-9f2c41d"))
    assert status == 204 and headers["X-Aviary-Ignored"]
    assert looks(fleet) == before and fleet.tip() == tip


def test_other_branches_and_repositories_are_ignored(fleet):
    payload = fleet.payload("0" * 40, fleet.head(), "refs/heads/feature")
    assert fleet.service.deliver(payload)[0] == 204
    payload = fleet.payload("0" * 40, fleet.head())
    payload["repository"] = {"full_name": "mallory/infra",
                             "html_url": "http://localhost/mallory/infra"}
    assert fleet.service.deliver(payload)[0] == 204


def test_a_rewritten_branch_is_followed_and_told(fleet):
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    git(fleet.work, "reset", "-q", "--hard", "HEAD^")
    fleet.write("README.md", "another way\n")
    other = fleet.commit("Another way")
    git(fleet.work, "push", "-q", "--force", "origin", "main")
    fleet.service.deliver(fleet.payload(commit, other))
    fleet.settle()
    assert "tracked branch was rewritten" in fleet.service.log()
    assert fleet.results(other) == {client: ["succeeded"] for client in WITH_API}
    assert {each.action for each in fleet.activations(commit=other)} == {"rollback"}
    record = fleet.rollout(other)
    assert record["forced"] is True and "forced" not in fleet.rollout(commit)
    begin = next(fact for fact in fleet.facts(other) if fact.subject.endswith("): started"))
    assert begin.all("Reason") == ["forced: the tracked branch was rewritten"]
    story = fleet.command("replay", record["id"])
    assert story.returncode == 0 and "the rollout begins, after a forced push" in story.stdout


@pytest.mark.parametrize("empty", [False, True], ids=["same-machine", "new-machine"])
def test_a_branch_that_was_rewritten_while_nobody_ran_is_told_too(fleet, empty):
    """With a mistake first: what is refused says so as well. What follows it is not forced."""
    fleet.settle(fleet.upgrade("1.0.1"))
    fleet.service.stop()
    if empty:
        lose_state(fleet)
    fleet.edit(POLICY, "verify:", "verfy:")
    bad = fleet.rewrite("A mistake")
    if empty:  # as on a forge that clears away what no branch has
        clear_away(fleet)
    fleet.start().settle(bad)
    assert fleet.rollout(bad)["forced"] is True and fleet.rollout(bad)["state"] == "refused"
    fleet.edit(POLICY, "verfy:", "verify:")
    good = fleet.upgrade("1.0.2")
    fleet.settle(good)
    assert "forced" not in fleet.rollout(good)


def test_max_changed_holds_after_a_forced_push(fleet):
    fleet.write(POLICY, fleet.read(POLICY) + "policy: {max_changed: 50%}\n")
    fleet.settle(fleet.push("A limit"))
    fleet.edit(APPS, "api:1.0.0", "api:1.0.1")
    commit = fleet.rewrite()
    fleet.wait_for("the question", lambda: fleet.ends(commit) == ["waiting"])
    assert "policy.max_changed is 50%" in fleet.rollout(commit)["over_limit"]
    assert not fleet.activations(commit=commit)


def test_a_remote_that_goes_away_and_comes_back(idle_fleet):
    """/readyz says why after three polls; what was pushed meanwhile is deployed afterwards."""
    fleet = idle_fleet
    fleet.configure(poll="100ms")
    fleet.start().settle()
    away = fleet.bare.with_name("away.git")
    commit = fleet.upgrade("1.0.1", webhook=False)
    fleet.settle()
    fleet.bare.rename(away)
    fleet.wait_for("/readyz to say so", lambda: fleet.service.readyz()[0] == 503)
    assert "infra.git" in fleet.service.readyz()[1]
    status = fleet.service.api("status")
    assert status["ready"] is False and "infra.git" in status["problem"]
    away.rename(fleet.bare)
    fleet.wait_for("/readyz", lambda: fleet.service.readyz()[0] == 200)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_readyz_says_503_until_the_first_fetch(fresh_fleet):
    fleet = fresh_fleet
    away = fleet.bare.with_name("away.git")
    fleet.bare.rename(away)
    fleet.start(ready=False)
    fleet.wait_for("the first look", lambda: fleet.service.api("status")["looks"])
    status, text = fleet.service.readyz()
    assert status == 503 and re.search("infra.git", text)
    # webhooks are answered all the same
    assert fleet.service.deliver(fleet.payload("0" * 40, fleet.head()))[0] == 202
    away.rename(fleet.bare)
    fleet.wait_for("/readyz", lambda: fleet.service.readyz()[0] == 200)


def test_an_empty_repository_is_waited_for(fresh_fleet):
    fleet = fresh_fleet
    full = fleet.bare.with_name("full.git")
    fleet.bare.rename(full)
    make_bare(fleet.bare)  # has a commit, but nothing of Aviary's
    fleet.start()
    fleet.wait_for("the refusal", lambda: fleet.has_branch() and any(
        subject.endswith("refused") for subject in fleet.subjects()))
    assert fleet.activations() == []
