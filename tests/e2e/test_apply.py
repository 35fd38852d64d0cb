"""`aviary apply`: one reconcile in the foreground, alone and beside a service."""

import json
import re
import subprocess

from tests.lib.fleet import AVIARY, CLIENTS, POLICY, WITH_API, environment, wait_for


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_first_apply_onboards_everyone(fresh_fleet):
    fleet = fresh_fleet
    done = fleet.command("apply")
    assert done.returncode == 0, done.stderr
    assert fleet.results(fleet.head()) == {client: ["succeeded"] for client in CLIENTS}
    for client in CLIENTS:
        assert re.search(rf"^  {client} +healthy", done.stdout, re.M), done.stdout
    assert "\033" not in done.stdout  # no terminal


def test_apply_with_nothing_to_do_says_so_and_records_nothing(idle_fleet):
    tip = idle_fleet.tip()
    done = idle_fleet.command("apply")
    assert done.returncode == 0 and done.stdout.startswith("nothing to do")
    assert idle_fleet.tip() == tip
    done = idle_fleet.command("apply", "--json")
    assert done.returncode == 0 and lines(done)[-1]["result"] == "unchanged"


def test_apply_as_json_is_an_object_a_line(idle_fleet):
    fleet = idle_fleet
    commit = fleet.upgrade("1.0.1", webhook=False)
    done = fleet.command("apply", "--json")
    assert done.returncode == 0, done.stderr
    rollout = fleet.rollout(commit)["id"]
    assert lines(done)[-1] == {"result": "succeeded", "rollout": rollout}
    told = lines(done)[:-1]
    assert {each["rollout"] for each in told} == {rollout}
    for client in WITH_API:
        assert [each["state"] for each in told if each.get("client") == client][-1] == "healthy"


def test_a_failed_rollout_exits_with_1_and_shows_the_way_back(idle_fleet):
    fleet = idle_fleet
    fleet.sick("all", "api:1.0.1")
    commit = fleet.upgrade("1.0.1", webhook=False)
    done = fleet.command("apply")
    assert done.returncode == 1
    assert re.search(r"^  alpha +rolled-back", done.stdout, re.M), done.stdout
    assert f"git revert {commit[:7]}" in done.stdout
    # held: again without a new commit
    tip, count = fleet.tip(), len(fleet.activations())
    done = fleet.command("apply")
    assert done.returncode == 1 and "not tried again" in done.stdout
    assert fleet.tip() == tip and len(fleet.activations()) == count
    assert lines(fleet.command("apply", "--json"))[-1]["result"] == "failed"


def test_a_refused_commit_exits_with_1_and_its_reasons(idle_fleet):
    fleet = idle_fleet
    fleet.edit(POLICY, "verify:", "verfy:")
    fleet.push("A mistake", webhook=False)
    done = fleet.command("apply")
    assert done.returncode == 1
    assert "verfy" in done.stdout + done.stderr
    assert fleet.activations("", commit=fleet.head()) == []


def test_a_remote_that_is_not_there_exits_with_an_error(idle_fleet):
    fleet = idle_fleet
    fleet.bare.rename(fleet.bare.with_name("away.git"))
    done = fleet.command("apply")
    assert done.returncode == 1 and "infra.git" in done.stderr
    done = fleet.command("apply", "--json")
    assert lines(done)[-1] == {"result": "error", "rollout": None}


def test_a_server_that_is_not_there_exits_with_3(idle_fleet):
    fleet = idle_fleet
    text = fleet.service.config.read_text()
    fleet.service.config.write_text(text.replace(
        f'"{fleet.folder}/forge/demo/infra.git"', '"https://127.0.0.1:1/demo/infra.git"'))
    done = fleet.command("apply")
    assert done.returncode == 3, done.stderr


def test_mistakes_in_the_command_line_exit_with_2(idle_fleet):
    for words in (("--nonsense",), ("something",)):
        done = idle_fleet.command("apply", *words)
        assert done.returncode == 2 and "usage: aviary apply" in done.stderr
    assert idle_fleet.command("apply", "--help").returncode == 0


def test_apply_beside_a_service_asks_that_one_and_follows(fleet):
    commit = fleet.upgrade("1.0.1", webhook=False)
    done = fleet.command("apply")
    assert done.returncode == 0, done.stderr
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert re.search(r"^  gamma +healthy", done.stdout, re.M), done.stdout
    (leader,) = {fact.subject for fact in fleet.history() if fact.subject.endswith("epoch 2")}
    assert leader in fleet.subjects()  # the service did it: no further epoch
    assert not any(subject.endswith("epoch 3") for subject in fleet.subjects())


def test_apply_beside_a_service_tells_a_failure(fleet):
    fleet.sick("all", "api:1.0.1")
    fleet.upgrade("1.0.1", webhook=False)
    done = fleet.command("apply", "--json")
    assert done.returncode == 1
    assert lines(done)[-1]["result"] == "failed"
    assert fleet.command("apply").returncode == 1


def test_apply_beside_a_service_with_nothing_to_do(fleet):
    done = fleet.command("apply")
    assert done.returncode == 0 and done.stdout.startswith("nothing to do")


def test_two_at_once_work_one_after_the_other(idle_fleet):
    fleet = idle_fleet
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1", webhook=False)
    command = [AVIARY, "apply", "-c", str(fleet.service.config), "--json"]
    first = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    try:
        wait_for("the activation", lambda: fleet.activations(commit=commit))
        # an apply offers no socket to ask: the second one says who holds the folder
        second = fleet.command("apply")
        assert second.returncode != 0 and "aviary" in second.stderr
        fleet.let_go("alpha")
        output, errors = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["result"] == "succeeded"
    assert len(fleet.activations(commit=commit)) == len(WITH_API)


def test_a_signal_ends_apply_after_the_running_step(idle_fleet):
    fleet = idle_fleet
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1", webhook=False)
    command = [AVIARY, "apply", "-c", str(fleet.service.config)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    try:
        wait_for("the activation", lambda: fleet.activations(commit=commit))
        process.terminate()
        fleet.let_go("alpha")
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert {each.client for each in fleet.activations(commit=commit)} == {"alpha"}
    done = fleet.command("apply")
    assert done.returncode == 0, done.stderr
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert len(fleet.activations(commit=commit)) == len(WITH_API)
