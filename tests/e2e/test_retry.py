"""`aviary retry` and `aviary rollback CLIENT`: holds that a person ends or sets."""

import json

import pytest

from tests.lib.asking import done, fail, lose_state, me, newest, wait_for_approval
from tests.lib.fleet import POLICY, WITH_API


# ---- retry ----------------------------------------------------------------------------------


def test_a_retry_ends_the_hold_and_tries_the_same_commit_again(fleet):
    commit = fail(fleet)
    assert fleet.record("alpha")["held"]
    count = len(fleet.activations())
    status = done(fleet.command("status"))
    assert f"commit {commit[:7]} is held" in status and "aviary retry\n" in status
    assert "Again: aviary retry alpha\n" in status
    fleet.sick("alpha")
    out = done(fleet.command("retry", "--reason", "the mail server is back"))
    assert commit[:7] in out and "canary first" in out
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["failed", "succeeded"])
    fleet.settle()
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    assert [each.client for each in fleet.activations()[count:]][0] == "alpha"
    assert "held" not in fleet.record("alpha")
    first, second = fleet.rollouts(commit)
    fact = newest(fleet, f"retry({first['id']}): the mail server is back")
    assert (fact.author, fact.reason) == (me(), "the mail server is back")
    ended = newest(fleet, "hold(alpha): ended")
    assert (ended.author, ended.reason) == (me(), "the mail server is back")
    assert second["reasons"] == [f"retry, asked by {me()}: the mail server is back"]
    assert "nobody is held" in done(fleet.command("retry"))
    assert fleet.ends(commit) == ["failed", "succeeded"]


def test_a_retry_that_fails_again_is_held_again(fleet):
    commit = fail(fleet)
    done(fleet.command("retry"))
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["failed", "failed"])
    fleet.settle()
    tip = fleet.tip()
    done(fleet.command("reconcile"))
    fleet.settle()
    assert fleet.tip() == tip and fleet.record("alpha")["held"]
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.0")


def test_a_retry_of_one_client_leaves_the_others_held(fleet):
    commit = fail(fleet)
    fleet.sick("alpha")
    out = done(fleet.command("retry", "gamma"))
    assert "gamma and the canaries before it" in out
    fleet.wait_for("the rollout", lambda: fleet.ends(commit)[:2] == ["failed", "succeeded"])
    fleet.settle()
    assert fleet.versions() == {"alpha": "1.0.1", "beta": "1.0.0", "gamma": "1.0.1",
                                "delta": "1.0.0"}
    done(fleet.command("retry"))
    fleet.wait_for("the rest", lambda: fleet.ends(commit)[2:] == ["succeeded"])
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")


def test_a_retry_is_not_lost_by_kill_9_and_an_empty_state_folder(fleet):
    """The pause keeps the rollout from starting before the service is killed."""
    commit = fail(fleet)
    fleet.sick("alpha")
    done(fleet.command("pause", "--reason", "demo"))
    assert "once 'aviary resume'" in done(fleet.command("retry"))
    lose_state(fleet)
    fleet.start().settle()
    assert fleet.ends(commit) == ["failed"]
    done(fleet.command("resume"))
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["failed", "succeeded"])


def test_a_hold_survives_kill_9_and_an_empty_state_folder(fleet):
    commit = fail(fleet)
    lose_state(fleet)
    fleet.start().settle()
    done(fleet.command("reconcile"))
    fleet.settle()
    assert fleet.ends(commit) == ["failed"] and fleet.record("alpha")["held"]


def test_a_retry_while_a_rollout_runs_is_refused(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    result = fleet.command("retry", "--json")
    assert result.returncode == 1
    answer = json.loads(result.stdout)
    assert answer["state"] == "refused" and fleet.rollout(commit)["id"] in answer["text"]
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]


def test_a_refused_commit_is_judged_again(fleet):
    """And refused again, which is no news, as long as it is the same."""
    fleet.edit(POLICY, "verify:", "verfy:")
    commit = fleet.push("A mistake")
    fleet.settle()
    assert fleet.ends(commit) == ["refused"]
    tip = fleet.tip()
    done(fleet.command("retry"))
    fleet.settle()
    assert fleet.ends(commit) == ["refused"] and len(fleet.history(since=tip)) == 1


# ---- rollback CLIENT ------------------------------------------------------------------------


def test_a_rollback_is_a_rollout_of_its_own_and_holds_what_is_wanted(fleet):
    first = fleet.head()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    wanted = fleet.record("beta")["release"]
    out = done(fleet.command("rollback", "beta", "--reason", "customer complains"))
    assert first[:7] in out and "aviary retry beta" in out
    fleet.settle()
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.1"), beta="1.0.0")
    assert fleet.ends(first) == ["succeeded", "succeeded"]
    back = fleet.rollouts(first)[-1]
    assert back["by_hand"] is True
    assert back["reasons"] == [f"rollback of beta, asked by {me()}: customer complains"]
    assert [fact.action for fact in fleet.facts(first) if fact.rollout == back["id"]
            and fact.result == "succeeded" and fact.client] == ["rollback"]
    record = fleet.record("beta")
    assert record["state"] == "healthy" and record["known_good"]["release"] == record["release"]
    assert record["held"]["release"] == wanted and record["held"]["by_hand"] is True
    held = [fact for fact in fleet.history() if fact.subject.startswith("hold(beta)")][-1]
    assert (held.author, held.reason, held.result) == (me(), "customer complains", "held")
    # a repeated webhook, a restart on an empty machine: nothing changes
    tip = fleet.tip()
    fleet.push("Nothing at all")
    fleet.settle()
    assert fleet.versions()["beta"] == "1.0.0"
    lose_state(fleet)
    fleet.start().settle()
    assert fleet.versions()["beta"] == "1.0.0" and len(fleet.rollouts(first)) == 2
    assert not [fact for fact in fleet.history(since=tip) if fact.client]
    # a newer commit that wants something else ends it
    newer = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.ends(newer) == ["succeeded"]
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.2")
    assert commit != newer and "held" not in fleet.record("beta")


def test_a_retry_ends_the_hold_of_a_rollback(fleet):
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    done(fleet.command("rollback", "alpha", "--reason", "customer complains"))
    fleet.settle()
    assert fleet.versions()["alpha"] == "1.0.0"
    done(fleet.command("retry", "alpha"))
    fleet.wait_for("alpha", lambda: fleet.versions()["alpha"] == "1.0.1")
    fleet.settle()
    assert fleet.ends(commit)[-1] == "succeeded" and "held" not in fleet.record("alpha")


def test_a_rollback_survives_kill_9_in_the_middle_of_it(fleet):
    first = fleet.head()
    fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.hold_back("beta")
    out = done(fleet.command("rollback", "beta", "--reason", "customer complains"))
    fleet.wait_for_activation("beta", first)
    lose_state(fleet)
    fleet.let_go("beta")
    fleet.start().settle()
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.1"), beta="1.0.0")
    assert fleet.ends(first) == ["succeeded", "succeeded"]
    assert fleet.rollouts(first)[-1]["id"] in out and fleet.record("beta")["held"]["by_hand"]


def test_a_rollback_that_is_not_well_goes_back_to_what_was_known_good(fleet):
    first = fleet.head()
    fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.sick("beta", "api:1.0.0")
    done(fleet.command("rollback", "beta", "--reason", "customer complains"))
    fleet.settle()
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    assert fleet.ends(first) == ["succeeded", "failed"]
    assert fleet.results(first)["beta"][-1] == "rolled-back"
    assert fleet.record("beta")["state"] == "healthy"  # it runs what the newest commit wants


@pytest.mark.parametrize("prepare, why", [
    (lambda fleet: None, "no earlier release"),
    (lambda fleet: done(fleet.command("pause", "--reason", "demo")), "the fleet is paused"),
    (lambda fleet: done(fleet.command("pause", "beta", "--reason", "demo")), "beta is paused")],
    ids=["first", "fleet", "client"])
def test_a_rollback_that_cannot_be_is_refused(fleet, prepare, why):
    prepare(fleet)
    result = fleet.command("rollback", "beta", "--reason", "customer complains")
    assert result.returncode == 1 and why in result.stderr, result.stderr
    assert fleet.activations() == [] and "held" not in fleet.record("beta")


def test_a_rollback_in_a_stage_with_approval_waits_for_it(fleet):
    """The older commit's policy has no approval: the stricter of the two counts."""
    _, rollout = wait_for_approval(fleet)
    done(fleet.command("approve", rollout, "--reason", "fine"))
    fleet.settle()
    done(fleet.command("rollback", "gamma", "--reason", "customer complains"))
    fleet.wait_for("the question", lambda: fleet.service.api("status")["rollout"]["state"] ==
                   "waiting")
    back = fleet.service.api("status")["rollout"]
    assert back["by_hand"] and fleet.versions()["gamma"] == "1.0.1"
    done(fleet.command("reconcile"))
    done(fleet.command("approve", back["id"], "--reason", "fine"))
    fleet.settle()
    assert fleet.versions()["gamma"] == "1.0.0"
    (record,) = [each for each in fleet.rollouts() if each.get("by_hand")]
    assert record["state"] == "succeeded" and "notes" not in record


def test_a_rollback_while_a_rollout_runs_is_refused(fleet):
    fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.2")
    fleet.wait_for_activation("alpha", commit)
    result = fleet.command("rollback", "beta", "--reason", "customer complains")
    assert result.returncode == 1 and fleet.rollout(commit)["id"] in result.stderr
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]
