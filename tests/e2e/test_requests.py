"""What people ask of the running service: pause, resume, reconcile; who may, and what is recorded."""

import getpass
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lib.fleet import (AVIARY, CLIENTS, PATIENCE_S, POLICY, WITH_API, environment,
                             wait_for)
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


# ---- asking ----------------------------------------------------------------------------------


def test_reconcile_looks_at_once_and_says_what_it_saw(fleet):
    fleet.write("notes.txt", "of no client\n")
    commit = fleet.push("A note", webhook=False)
    out = done(fleet.command("reconcile"))
    assert commit[:7] in out and "'A note'" in out
    fleet.settle()
    out = done(fleet.command("reconcile", "--json"))
    assert json.loads(out)["commit"] == commit


@pytest.mark.parametrize("arguments", [
    ["reconcile"], ["pause", "--reason", "x"], ["resume"], ["status"]])
def test_a_stopped_service_is_exit_status_3(idle_fleet, arguments):
    result = idle_fleet.command(*arguments)
    assert result.returncode == 3, result.stderr
    assert "no service answers" in result.stderr and "aviary serve" in result.stderr
    result = run(*arguments, "--url", "http://127.0.0.1:1")
    assert result.returncode == 3, result.stderr


@pytest.mark.parametrize("arguments", [
    ["pause"], ["pause", "--reason", ""], ["pause", "a", "b", "--reason", "x"],
    ["reconcile", "a"], ["resume", "--token-file", "x"], ["pause", "--loud"]])
def test_wrong_usage_is_exit_status_2(arguments):
    result = run(*arguments)
    assert result.returncode == 2 and "usage: aviary " + arguments[0] in result.stderr


@pytest.mark.parametrize("command", ["reconcile", "pause", "resume"])
def test_help_is_there_and_asks_nobody(command):
    result = run(command, "--help")
    assert result.returncode == 0 and result.stdout.startswith(f"usage: aviary {command}")


def test_over_tcp_a_token_with_the_right_is_needed(fleet):
    fleet.write_key("reader-token", "reader-token-of-the-tests-0123456789")
    text = fleet.service.config.read_text()
    fleet.service.config.write_text(text.replace(
        "tokens: [", f'tokens: [{{name: ida, file: "{fleet.folder}/keys/reader-token", may: [read]}}, '))
    fleet.service.stop()
    fleet.start().settle()
    tip = fleet.tip()
    for path in ("reconcile", "pause", "resume", "clients/alpha/pause", "clients/alpha/resume"):
        for token in (None, "wrong-token-of-nobody"):
            status, body = fleet.service.ask(f"/api/v1/{path}", "POST", token, {"reason": "x"})
            assert status == 401 and "write" in json.loads(body)["error"]
        status, body = fleet.service.ask(
            f"/api/v1/{path}", "POST", "reader-token-of-the-tests-0123456789", {"reason": "x"})
        assert status == 403
        assert "'ida'" in json.loads(body)["error"] and "'write'" in json.loads(body)["error"]
    assert fleet.tip() == tip
    token_file = fleet.folder / "keys/reader-token"
    result = run("pause", "--reason", "x", "--url", fleet.service.url, "--token-file", token_file)
    assert result.returncode == 1 and "'ida' may not write" in result.stderr
    token_file = fleet.folder / "keys/api-token"
    done(run("pause", "--reason", "x", "--url", fleet.service.url, "--token-file", token_file))
    assert newest(fleet, "pause(fleet): x").author == "eva"


@pytest.mark.parametrize("body, wrong", [
    (b"reason", "no JSON object"), (b"[]", "no JSON object"), (b'{"reason": 3}', "no text"),
    (b'{"reson": "x"}', "did you mean 'reason'"), (b'{"reason": "a\\nb"}', "one line"),
    (b'{"reason": "x"} x', "no JSON object"), (b'{"reason": "  "}', "a reason is needed"),
    (b"", "a reason is needed"), (json.dumps({"reason": "x" * 501}).encode(), "longer than 500"),
    (b'{"reason": "' + b"x" * 20000 + b'"}', "larger than"), (b"[" * 10000, "no JSON object"),
    (b'{"reason": "x\x00y"}', "no JSON object")])
def test_a_body_that_is_none_is_400(fleet, body, wrong):
    status, answer = fleet.service.ask("/api/v1/pause", "POST", body=body)
    assert status == 400 and wrong in json.loads(answer)["error"], answer
    assert fleet.service.api("status")["paused"] == []


def test_an_unknown_client_is_404_with_the_nearest(fleet):
    result = fleet.command("pause", "alpa", "--reason", "x")
    assert result.returncode == 1
    assert "'alpa'" in result.stderr and "did you mean 'alpha'?" in result.stderr
    status, body = fleet.service.ask("/api/v1/clients/no%2Fbody/pause", "POST", body={"reason": "x"})
    assert status == 404 and "no/body" in json.loads(body)["error"]
    assert fleet.service.ask("/api/v1/requests/7")[0] == 404


# ---- pause and resume ------------------------------------------------------------------------


def test_a_paused_fleet_starts_nothing_until_it_is_resumed(fleet):
    out = done(fleet.command("pause", "--reason", "customer demo"))
    assert out.startswith("the fleet is paused") and "aviary resume" in out
    fact = newest(fleet, "pause(fleet): customer demo")
    assert (fact.author, fact.reason, fact.client) == (me(), "customer demo", "")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.activations() == [] and fleet.rollouts(commit) == []
    status = done(fleet.command("status"))
    assert "customer demo" in status and "aviary resume" in status
    assert "Next: aviary resume\n" in status and "Held    none" in status
    (paused,) = fleet.service.api("status")["paused"]
    assert (paused["client"], paused["by"], paused["reason"]) == (None, me(), "customer demo")
    again = done(fleet.command("pause", "--reason", "once more"))
    assert "already" in again and "customer demo" in again
    out = done(fleet.command("resume", "--reason", "demo is over"))
    assert "not paused any more" in out
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["succeeded"])
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert newest(fleet, "resume(fleet): demo is over").author == me()
    assert "nothing to do" in done(fleet.command("resume"))
    assert len(fleet.subjects()) == len(set(fleet.subjects()))


def test_a_pause_survives_kill_9_and_an_empty_state_folder(fleet):
    done(fleet.command("pause", "--reason", "demo"))
    done(fleet.command("pause", "beta", "--reason", "own demo"))
    lose_state(fleet)
    fleet.start()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.activations() == [] and fleet.rollouts(commit) == []
    lose_state(fleet)
    fleet.start().settle()
    assert fleet.activations() == []
    done(fleet.command("resume"))
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["succeeded"])
    fleet.settle()
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.1"), beta="1.0.0")
    record = fleet.record("beta")
    assert record["state"] == "paused" and record["paused"]["was"] == "healthy"
    done(fleet.command("resume", "beta"))
    fleet.wait_for("beta", lambda: fleet.versions()["beta"] == "1.0.1")
    fleet.settle()
    assert fleet.record("beta")["state"] == "healthy" and "paused" not in fleet.record("beta")


def test_a_paused_canary_is_changed_and_not_healthy(fleet):
    done(fleet.command("pause", "alpha", "--reason", "demo"))
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.activations() == []
    (record,) = fleet.rollouts(commit)
    assert record["state"] == "refused"
    assert record["reasons"] == ["no client may start: paused alpha"]
    tip = fleet.tip()
    done(fleet.command("reconcile"))
    fleet.settle()
    assert fleet.tip() == tip
    done(fleet.command("resume", "alpha"))
    fleet.wait_for("the rollout", lambda: fleet.ends(commit) == ["refused", "succeeded"])
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_a_pause_during_a_rollout_lets_what_runs_end_and_starts_nothing(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    done(fleet.command("pause", "--reason", "stop here"))
    fleet.let_go("alpha")
    rollout = fleet.rollout(commit)["id"]
    fleet.wait_for("the canary", lambda: fleet.results(commit) == {"alpha": ["succeeded"]})
    fleet.service.kill()
    fleet.start()
    done(fleet.command("reconcile"))
    assert {each.client for each in fleet.activations()} == {"alpha"}
    assert fleet.service.api("status")["rollout"]["id"] == rollout
    done(fleet.command("resume"))
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"] and len(fleet.rollouts(commit)) == 1
    assert len(fleet.activations()) == len(WITH_API)


def test_a_newer_commit_supersedes_a_rollout_that_is_paused(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    done(fleet.command("pause", "gamma", "--reason", "own demo"))
    done(fleet.command("pause", "--reason", "stop here"))
    newer = fleet.upgrade("1.0.2")
    fleet.let_go("alpha")
    fleet.wait_for("its end", lambda: fleet.ends(commit) == ["superseded"])
    done(fleet.command("resume"))
    fleet.wait_for("the newer one", lambda: fleet.ends(newer) == ["succeeded"])
    fleet.settle()
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.2"), gamma="1.0.0")
    assert fleet.results(newer).keys() == {"alpha", "beta", "delta"}


def test_two_requests_at_once_are_both_done_and_recorded_once(fleet):
    with ThreadPoolExecutor(len(CLIENTS) * 2) as pool:
        results = list(pool.map(lambda client: fleet.command("pause", client, "--reason", "demo"),
                                CLIENTS * 2))
    assert [result.returncode for result in results] == [0] * len(results)
    assert sorted("already" in result.stdout for result in results) == [False] * 5 + [True] * 5
    for client in CLIENTS:
        assert fleet.subjects().count(f"pause({client}): demo") == 1
        assert fleet.record(client)["paused"]["reason"] == "demo"


def test_a_request_is_not_lost_when_others_move_the_branch(fleet):
    """Somebody changes alpha's record between the service's look and its push."""
    other = fleet.folder / "other"
    git(".", "clone", "-q", "-b", "deployments", fleet.bare, other)
    record = other / "clients/alpha.yaml"
    record.write_text(record.read_text() + "note: by hand\n")
    git(other, "commit", "-qam", "by hand")
    git(other, "push", "-q")
    done(fleet.command("pause", "alpha", "--reason", "demo"))
    assert fleet.record("alpha")["paused"]["reason"] == "demo"
    assert fleet.subjects().count("pause(alpha): demo") == 1
    fleet.settle()


def test_apply_on_a_paused_fleet_is_exit_status_4(fleet):
    done(fleet.command("pause", "--reason", "demo"))
    commit = fleet.upgrade("1.0.1", webhook=False)
    result = fleet.command("apply")
    assert result.returncode == 4 and "demo" in result.stdout, result.stdout + result.stderr
    fleet.service.stop()
    result = fleet.command("apply")
    assert result.returncode == 4 and "aviary resume" in result.stdout
    result = fleet.command("apply", "--json")
    assert json.loads(result.stdout.splitlines()[-1]) == {"result": "waiting", "rollout": None}
    assert fleet.rollouts(commit) == []


def test_a_remote_that_is_away_is_told_and_the_request_stays(fleet):
    away = fleet.bare.with_name("away.git")
    fleet.bare.rename(away)
    status, body = fleet.service.ask("/api/v1/pause", "POST", body={"reason": "demo"})
    assert status == 202
    see = json.loads(body)["see"]
    fleet.wait_for("the trouble", lambda: "infra.git" in json.loads(
        fleet.service.ask(see)[1]).get("text", ""))
    assert json.loads(fleet.service.ask(see)[1])["state"] == "queued"
    away.rename(fleet.bare)
    fleet.wait_for("the record", lambda: json.loads(
        fleet.service.ask(see)[1])["state"] == "done")
    assert newest(fleet, "pause(fleet): demo").author == "eva"


# ---- retry -----------------------------------------------------------------------------------


def fail(fleet, client="alpha", version="1.0.1"):
    """An upgrade that fails on one client; returns the commit."""
    fleet.sick(client, f"api:{version}")
    commit = fleet.upgrade(version)
    fleet.wait_for("the failure", lambda: fleet.ends(commit) == ["failed"])
    fleet.settle()
    return commit


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
    fleet.edit("fleet.yaml", "verify:", "policy: {max_changed: 10%}\nverify:")
    fleet.push("Careful")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.ends(commit) == ["refused"]
    tip = fleet.tip()
    done(fleet.command("retry"))
    fleet.settle()
    assert fleet.ends(commit) == ["refused"] and len(fleet.history(since=tip)) == 1


# ---- rollback CLIENT -------------------------------------------------------------------------


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


# ---- approve, abort --------------------------------------------------------------------------


def wait_for_approval(fleet):
    """An upgrade whose production waits; returns the commit and the rollout's id."""
    fleet.edit(POLICY, "batch: 2}", "batch: 2, approval: manual}")
    fleet.push("Production by hand")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the question", lambda: fleet.rollouts(commit)
                   and fleet.rollout(commit)["state"] == "waiting")
    return commit, fleet.rollout(commit)["id"]


def test_an_approval_lets_production_start_and_is_recorded(fleet):
    commit, rollout = wait_for_approval(fleet)
    assert {each.client for each in fleet.activations()} == {"alpha"}
    status = done(fleet.command("status"))
    assert "approval of production" in status and f"aviary approve {rollout}" in status
    out = done(fleet.command("approve", rollout, "--reason", "looked at alpha"))
    assert rollout in out and "approval of production" in out
    fleet.settle()
    assert fleet.ends(commit)[-1] == "succeeded"
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    (fact,) = [fact for fact in fleet.history() if fact.subject.startswith("approve(")]
    assert (fact.approved_by, fact.reason, fact.rollout) == (me(), "looked at alpha", rollout)
    result = fleet.command("approve", rollout, "--reason", "again")
    assert result.returncode == 1 and "it ended succeeded" in result.stderr


def test_a_question_survives_kill_9_and_an_empty_state_folder(fleet):
    commit, rollout = wait_for_approval(fleet)
    lose_state(fleet)
    fleet.start()
    fleet.wait_for("the question", lambda: (
        fleet.service.api("status")["rollout"] or {}).get("state") == "waiting")
    done(fleet.command("approve", rollout, "--reason", "fine"))
    fleet.settle()
    assert fleet.ends(commit)[-1] == "succeeded" and len(fleet.rollouts(commit)) == 1


def test_an_abort_is_the_no_and_holds_the_commit(fleet):
    commit, rollout = wait_for_approval(fleet)
    out = done(fleet.command("abort", rollout, "--reason", "not today"))
    assert rollout in out and "aviary retry" in out
    fleet.settle()
    assert fleet.ends(commit)[-1] == "aborted"
    assert f"aborted by {me()}: not today" in fleet.rollout(commit)["reasons"]
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.0"), alpha="1.0.1")
    tip = fleet.tip()
    done(fleet.command("reconcile"))
    fleet.settle()
    assert fleet.tip() == tip
    done(fleet.command("retry"))
    fleet.wait_for("the question", lambda: fleet.rollouts(commit)[-1]["state"] == "waiting")
    done(fleet.command("approve", fleet.rollouts(commit)[-1]["id"], "--reason", "now"))
    fleet.settle()
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")


def test_an_abort_lets_what_runs_end(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    rollout = fleet.rollout(commit)["id"]
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(fleet.command, "abort", rollout, "--reason", "not today")
                 for _ in range(2)]
        fleet.wait_for("the machine to know", lambda: "comes first" in "".join(
            json.loads(fleet.service.ask(f"/api/v1/requests/{number}")[1]).get("text", "")
            for number in request_numbers(fleet)))
        fleet.let_go("alpha")
        results = [each.result() for each in asked]
    assert [result.returncode for result in results] == [0, 0], results
    fleet.settle()
    assert fleet.ends(commit) == ["aborted"]
    assert {each.client for each in fleet.activations()} == {"alpha"}


def request_numbers(fleet):
    """Numbers of the requests that the service may know: they count up from its start."""
    status, body = fleet.service.ask("/api/v1/resume", "POST", body={})
    assert status == 202
    newest = json.loads(body)["request"]
    return range(newest - 8, newest)


def test_who_may_not_approve_is_told_so(fleet):
    commit, rollout = wait_for_approval(fleet)
    token_file = fleet.folder / "keys/api-token"
    over_tcp = ("--url", fleet.service.url, "--token-file", token_file)
    for command in ("approve", "abort"):
        result = run(command, rollout, "--reason", "x", *over_tcp)
        assert result.returncode == 1 and "'eva' may not approve" in result.stderr, result.stderr
    text = fleet.service.config.read_text()
    fleet.service.config.write_text(text.replace("may: [read, write]", "may: [approve]"))
    fleet.service.stop()
    fleet.start()
    fleet.wait_for("the question", lambda: fleet.rollout(commit)["state"] == "waiting")
    over_tcp = ("--url", fleet.service.url, "--token-file", token_file)
    result = run("pause", "--reason", "x", *over_tcp)
    assert result.returncode == 1 and "'eva' may not write" in result.stderr
    done(run("approve", rollout, "--reason", "fine", *over_tcp))
    fleet.wait_for("the end", lambda: fleet.ends(commit)[-1:] == ["succeeded"])


def test_a_rollout_that_asks_nobody_is_not_approved(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    rollout = fleet.rollout(commit)["id"]
    result = fleet.command("approve", rollout, "--reason", "fine")
    assert result.returncode == 1 and "asks nobody" in result.stderr
    near = rollout[:-1] + ("0" if rollout[-1] != "0" else "1")
    for command in ("approve", "abort"):
        result = fleet.command(command, near, "--reason", "fine")
        assert result.returncode == 1 and f"did you mean '{rollout}'?" in result.stderr
    newer = fleet.upgrade("1.0.2")
    fleet.wait_for("the newer commit to be seen",
                   lambda: fleet.service.api("status")["commit"] == newer)
    result = fleet.command("approve", rollout, "--reason", "fine")
    assert result.returncode == 1 and "asks nobody" in result.stderr
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.ends(commit) == ["superseded"] and fleet.ends(newer) == ["succeeded"]


# ---- lead ------------------------------------------------------------------------------------


def epochs(fleet):
    return [fact for fact in fleet.history() if fact.subject.startswith("leader(")]


def take_over(fleet):
    """Another service leads, and ours has noticed."""
    fleet.service.kill()
    second = fleet.second().start()
    wait_for("its epoch", lambda: len(epochs(fleet)) == 3, second.check_alive)
    fleet.start(ready=False)
    fleet.wait_for("the first to stand by", lambda: "leads since" in fleet.service.readyz()[1])
    return second


def test_lead_takes_a_new_epoch_and_the_other_stands_by(fleet):
    second = take_over(fleet)
    result = fleet.command("pause", "--reason", "demo")
    assert result.returncode == 1 and "leads since epoch 3" in result.stderr
    assert "leads already" in done(run("lead", "-c", second.config))
    out = done(fleet.command("lead", "--reason", "the new machine burns"))
    assert "leads now, in epoch 4" in out
    fact = epochs(fleet)[-1]
    assert fact.subject.endswith("epoch 4")
    assert (fact.author, fact.reason) == (me(), "the new machine burns")
    commit = fleet.upgrade("1.0.1")
    second.deliver(fleet.payload("0" * 40, commit))
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    wait_for("the second to stand by", lambda: second.readyz()[0] == 503, second.check_alive)
    assert len(fleet.activations()) == len(WITH_API) and len(epochs(fleet)) == 4
    fleet.service.kill()
    fleet.start().settle()  # it led last
    assert epochs(fleet)[-1].subject.endswith("epoch 5")


def test_lead_in_the_middle_of_a_rollout_goes_on_with_it(fleet):
    second = take_over(fleet)
    fleet.hold_back("alpha")
    fleet.write(POLICY, fleet.read(POLICY) + "\n")
    commit = fleet.upgrade("1.0.1")
    second.deliver(fleet.payload("0" * 40, commit))
    fleet.wait_for_activation("alpha", commit)
    second.kill()
    done(fleet.command("lead"))
    fleet.let_go("alpha")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"] and len(fleet.rollouts(commit)) == 1


# ---- status --watch --------------------------------------------------------------------------


def test_watch_follows_a_rollout_to_its_end(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    watched = subprocess.Popen([AVIARY, "status", "-c", fleet.service.config, "--watch"], text=True,
                               stdout=subprocess.PIPE, env=environment())
    first = watched.stdout.readline()
    assert fleet.rollout(commit)["id"] in first
    fleet.let_go("alpha")
    rest = watched.communicate(timeout=PATIENCE_S)[0]
    assert watched.returncode == 0
    assert "  gamma        healthy" in rest and "succeeded after" in rest.splitlines()[-1]


def test_watch_ends_where_a_rollout_waits(fleet):
    _, rollout = wait_for_approval(fleet)
    result = fleet.command("status", "--watch")
    assert result.returncode == 4 and "approval of production" in result.stdout
    result = fleet.command("status", "--watch", "--json")
    assert json.loads(result.stdout.splitlines()[-1]) == {"result": "waiting", "rollout": rollout}


def test_a_commit_that_is_held_is_told_beside_a_rollback_by_hand(fleet):
    fleet.upgrade("1.0.1")
    fleet.settle()
    commit = fail(fleet, "gamma", "1.0.2")
    done(fleet.command("rollback", "beta", "--reason", "customer complains"))
    fleet.settle()
    for command in (["status", "--watch"], ["apply"]):
        result = fleet.command(*command)
        assert result.returncode == 1 and f"commit {commit[:7]} is held" in result.stdout
    result = fleet.command("apply", "--json")
    assert json.loads(result.stdout.splitlines()[-1])["result"] == "held"


def test_watch_with_nothing_to_follow_ends_at_once(fleet):
    result = fleet.command("status", "--watch")
    assert result.returncode == 0 and "nothing to do" in result.stdout
