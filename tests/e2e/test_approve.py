"""`aviary approve`, `abort`, `lead` and `status --watch`."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tests.lib.asking import done, fail, lose_state, me, run, wait_for_approval
from tests.lib.fleet import AVIARY, PATIENCE_S, POLICY, WITH_API, environment, wait_for


# ---- approve, abort -------------------------------------------------------------------------


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
    status, body = fleet.service.ask("/api/v1/resume", "POST", body={})
    assert status == 202
    first = json.loads(body)["request"] + 1
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(fleet.command, "abort", rollout, "--reason", "not today")
                 for _ in range(2)]
        fleet.wait_for("the machine to know", lambda: all("comes first" in json.loads(
            fleet.service.ask(f"/api/v1/requests/{number}")[1]).get("text", "")
            for number in (first, first + 1)))
        fleet.let_go("alpha")
        results = [each.result() for each in asked]
    assert [result.returncode for result in results] == [0, 0], results
    fleet.settle()
    assert fleet.ends(commit) == ["aborted"]
    assert {each.client for each in fleet.activations()} == {"alpha"}


def test_an_abort_that_a_kill_interrupts_goes_on_and_is_named(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    rollout = fleet.rollout(commit)["id"]
    asking = subprocess.Popen([AVIARY, "abort", "-c", fleet.service.config, rollout, "--reason",
                               "not today"], env=environment(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    fleet.wait_for("the abort to be told", lambda: "abort" in fleet.rollout(commit))
    (fact,) = [fact for fact in fleet.history() if ": ending, " in fact.subject]
    assert (fact.subject, fact.author, fact.reason) == (
        f"rollout({rollout}): ending, aborted by {me()}", me(), "not today")
    lose_state(fleet)
    asking.wait(timeout=PATIENCE_S)
    fleet.let_go("alpha")
    fleet.start()
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["skipped"]} and fleet.ends(commit) == ["aborted"]
    record = fleet.rollout(commit)
    assert f"aborted by {me()}: not today" in record["reasons"] and record["abort"]["by"] == me()
    assert len(fleet.rollouts(commit)) == 1


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


# ---- lead -----------------------------------------------------------------------------------


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


# ---- status --watch -------------------------------------------------------------------------


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
    assert "  gamma        healthy" in rest and rest.splitlines()[-1].startswith("succeeded")


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
