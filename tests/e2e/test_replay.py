"""`aviary replay`: every rollout of a real service decides the same again from its recorded events,
also across kill -9 and restarts, and the story is told. Beside each test the whole branch."""

import json
import re
import shutil

import pytest

from tests.e2e.test_history import live
from tests.lib.asking import wait_for_approval
from tests.lib.fleet import Fleet, tell


def replay(fleet, rollout):
    """What `replay --json` says of a rollout; it must be the same."""
    done = fleet.command("replay", rollout, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["same"] and not found.get("differences"), found
    return found


def all_the_same(fleet):
    """{commit: replay} of each rollout that was not refused."""
    found = {}
    for rollout in fleet.rollouts():
        if rollout["state"] == "refused":
            assert fleet.command("replay", rollout["id"]).returncode == 1
            continue
        found[rollout["commit"]] = replay(fleet, rollout["id"])
        assert found[rollout["commit"]]["ended"]
    assert len(found) > 1
    return found


def events(fleet, commit):
    text = fleet.show(f"events/{fleet.rollout(commit)['id']}.jsonl")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(name="world", scope="module")
def make_world(fleets, checks):
    fleet = Fleet(fleets / "replay", checks).make()
    try:
        commits = live(fleet)
        fleet.service.stop()
        yield fleet, commits
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.close()


def test_every_rollout_decides_the_same_again(world):
    fleet, commits = world
    found = all_the_same(fleet)
    assert found.keys() == {commits[name] for name in commits if name != "refused"}
    assert all(each["parts"] == 1 for each in found.values())


def test_the_events_add_no_commit_and_stand_where_a_fact_of_theirs_is(world):
    fleet, commits = world
    assert set(fleet.files("events")) == {
        f"{rollout['id']}.jsonl" for rollout in fleet.rollouts() if rollout["state"] != "refused"}
    for fact in fleet.history():
        changed = fleet.changed(fact.id)
        mine = [path for path in changed if path.startswith("events/")]
        assert len(changed) > len(mine) and len(mine) <= 1
        assert not mine or mine == [f"events/{fact.rollout}.jsonl"]
    assert commits


def test_the_events_hold_no_values_and_no_releases(world):
    fleet, commits = world
    for commit in (commits["first"], commits["bad"]):
        text = fleet.show(f"events/{fleet.rollout(commit)['id']}.jsonl")
        for word in ("password", "sha256:", "example.org", "registry"):
            assert word not in text
        lines = events(fleet, commit)
        assert lines[0]["e"] == "state" and lines[1]["e"] == "start"
        assert all(set(line) <= {"e", "t", "w", "c", "ok", "a", "runs", "n", "text", "who", "do",
                                 "stage", "transient"} for line in lines[1:])


def test_the_story_is_told(world):
    fleet, commits = world
    rollout = fleet.rollout(commits["bad"])["id"]
    text = fleet.command("replay", rollout, check=True).stdout
    assert re.match(rf"Rollout {rollout}: \d+ events, \d+ decisions\. The same decisions again", text)
    order = ["the rollout begins", "records: rollout started", "activates alpha",
             "alpha: activated", "alpha: checks are good", "records: stage canary baking",
             "time has passed", "records: alpha succeeded", "activates beta",
             "beta: checks are bad: ", "brings back beta", "records: beta going back",
             "records: beta rolled-back", "records: beta held", "records: rollout failed"]
    at = 0
    for words in order:
        assert words in text[at:], (words, text)
        at += text[at:].index(words)
    superseded = fleet.command("replay", fleet.rollout(commits["superseded"])["id"]).stdout
    assert f"commit {commits['last'][:7]} takes over" in superseded


def test_a_file_that_was_changed_is_found(world, tmp_path):
    """In a clone: the commit is made anew with another outcome of an activation."""
    fleet, commits = world
    clone = fleet.clone(tmp_path / "clone")
    rollout = fleet.rollout(commits["bad"])["id"]
    path = f"events/{rollout}.jsonl"
    text = fleet.show(path) + "\n"
    for old, new in (('"e":"deployed"', '"e":"unreachable"'), ('"do":["deploy alpha"]', '"do":[]'),
                     ('"verify_healthy":1', '"verify_healthy":9')):
        assert old in text
        clone.write(path, text.replace(old, new, 1))
        done = clone.aviary("replay", rollout)
        assert done.returncode == 1, (old, done)
        assert "different: " in done.stdout or "more facts" in done.stderr, (old, done)
    for bad, why in (("nonsense\n", rollout), ('{"e":"tick"}\n', "before any state"),
                     (text.replace('"e":"start"', '"e":"stat"'), "no such event"),
                     (text.replace('"c":"alpha"', '"c":"nobody"'), "no client 'nobody'"),
                     (text.replace('"phase":"pending"', '"phase":"x"'), "known 'phase'")):
        clone.write(path, bad)
        done = clone.aviary("replay", rollout)
        assert done.returncode == 1 and why in done.stderr, (bad[:40], done)


def test_an_unknown_rollout_is_an_error(world):
    done = world[0].command("replay", "20200101-000000-1234567")
    assert done.returncode == 1 and "no events of rollout" in done.stderr
    assert world[0].command("replay").returncode == 2


def lose_state(fleet):
    shutil.rmtree(fleet.state)
    fleet.state.mkdir(mode=0o700)


@pytest.mark.parametrize("loses_state", [False, True], ids=["same-state", "empty-state"])
def test_it_is_the_same_across_a_kill_in_an_activation(fleet, loses_state):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.service.kill()
    if loses_state:
        lose_state(fleet)
    fleet.let_go("alpha")
    fleet.start().settle()
    fleet.service.stop()
    found = all_the_same(fleet)[commit]
    assert found["parts"] == 2
    words = [step["event"] for step in found["story"]]
    assert "the service goes on with the rollout" in words
    assert any(word.startswith("alpha: ") and "runs" in word or "release" in word for word in words)


def test_it_is_the_same_across_kills_in_a_bake_and_on_the_way_back(fleet):
    tip = fleet.tip()
    fleet.edit("fleet.yaml", "bake: 200ms", "bake: 1h")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the bake", lambda: any(
        subject.endswith("stage canary baking") for subject in fleet.subjects(since=tip)))
    fleet.service.kill()
    fleet.script("alpha", 'if [ $AVIARY_ACTION = rollback ]; then touch "$control/back"; '
                 'until [ -e "$control/go" ]; do sleep 0.02; done; fi\n')
    fleet.sick("all", "api:1.0.1")
    fleet.start()
    fleet.wait_for("the way back", lambda: (fleet.control / "back").exists())
    fleet.wait_for("its record", lambda: any(
        subject.endswith("going back") for subject in fleet.subjects(since=tip)))
    fleet.service.kill()
    (fleet.control / "go").touch()
    fleet.start().settle()
    fleet.service.stop()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert all_the_same(fleet)[commit]["parts"] == 3


def test_a_rollout_that_runs_is_told_so_far(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    found = replay(fleet, fleet.rollout(commit)["id"])
    assert not found["ended"] and found["decisions"] >= 2
    fleet.let_go("alpha")
    fleet.settle()
    assert replay(fleet, fleet.rollout(commit)["id"])["ended"]


def test_a_long_bake_leaves_few_events(fleet):
    """Good rounds of a healthy client decide nothing."""
    tip = fleet.tip()
    fleet.edit("fleet.yaml", "bake: 200ms", "bake: 1h")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the bake", lambda: any(
        subject.endswith("stage canary baking") for subject in fleet.subjects(since=tip)))
    asked = fleet.checks.asked.count("alpha")
    fleet.wait_for("many rounds", lambda: fleet.checks.asked.count("alpha") > asked + 20)
    fleet.sick("all", "api:1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    bakes = [number for number, line in enumerate(events(fleet, commit))
             if "record stage canary baking" in line.get("do", [])]
    fails = [number for number, line in enumerate(events(fleet, commit))
             if "back alpha" in line.get("do", [])]
    assert 0 < fails[0] - bakes[-1] < 5
    replay(fleet, fleet.rollout(commit)["id"])


def test_answers_of_people_and_pauses_are_events_too(fleet):
    commit, rollout = wait_for_approval(fleet)
    assert fleet.command("pause", "gamma", "--reason", "a demo").returncode == 0
    fleet.service.kill()
    lose_state(fleet)
    fleet.start()
    fleet.wait_for("the question", lambda: (
        fleet.service.api("status")["rollout"] or {}).get("state") == "waiting")
    assert fleet.command("approve", rollout, "--reason", "looked at alpha").returncode == 0
    fleet.wait_for("beta", lambda: any(each.client == "beta" for each in fleet.activations("end")))
    fleet.wait_for("its end", lambda: fleet.results(commit).get("beta") == ["succeeded"])
    found = [replay(fleet, each["id"]) for each in fleet.rollouts(commit)]
    words = [step["event"] for each in found for step in each["story"]]
    assert any(word.endswith("approves: looked at alpha") for word in words)
    assert "record approved production" in [
        decision for each in found for step in each["story"] for decision in step.get(
            "decisions", [])]
    whole = fleet.command("history", "--verify")
    assert whole.returncode == 0, whole.stdout


def test_an_abort_decides_the_same_again(fleet):
    commit, rollout = wait_for_approval(fleet)
    assert fleet.command("abort", rollout, "--reason", "not today").returncode == 0
    fleet.settle()
    assert fleet.ends(commit)[-1] == "aborted"
    whole = fleet.command("history", "--verify")
    assert whole.returncode == 0, whole.stdout
    words = [step["event"] for step in replay(fleet, rollout)["story"]]
    assert any(word.endswith("aborts: not today") for word in words)


def test_a_retry_of_a_rollout_is_no_decision_of_it(fleet):
    fleet.sick("alpha", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.sick("alpha")
    assert fleet.command("retry", "alpha", "--reason", "it was the mail server").returncode == 0
    fleet.settle()
    assert len(fleet.rollouts(commit)) == 2
    for rollout in fleet.rollouts(commit):
        assert replay(fleet, rollout["id"])["ended"]
    whole = fleet.command("history", "--verify")
    assert whole.returncode == 0, whole.stdout
