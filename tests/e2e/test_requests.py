"""What people ask of the running service: who may; `reconcile`, `pause`, `resume`."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lib.asking import done, lose_state, me, newest, run
from tests.lib.fleet import CLIENTS, WITH_API
from tests.lib.gitserver import git


# ---- asking ---------------------------------------------------------------------------------


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
        "tokens: [",
        f'tokens: [{{name: ida, file: "{fleet.folder}/keys/reader-token", may: [read]}}, '))
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


# ---- pause and resume -----------------------------------------------------------------------


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
