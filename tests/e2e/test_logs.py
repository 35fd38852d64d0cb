"""`aviary logs` and its API: what the steps of a client printed, while they run and later."""

import json
import subprocess

import pytest

from tests.e2e.test_steps import define_steps, fail_upgrade
from tests.lib.asking import done, run
from tests.lib.fleet import AVIARY, PATIENCE_S, environment


def newest_id(fleet):
    return fleet.service.api("rollouts")["rollouts"][0]["id"]


def ask(fleet, path, **options):
    status, body = fleet.service.ask(f"/api/v1/rollouts/{path}", **options)
    return status, json.loads(body)


def test_what_activate_printed_is_shown_masked_and_harmless(fleet):
    fleet.script("alpha", "cat .env; printf '\\033[31mred\\033[0m \\377 p\\303\\251\\007\\n'\n")
    fleet.upgrade("1.0.1")
    fleet.settle()
    out = done(fleet.command("logs", newest_id(fleet), "alpha"))
    first, *middle, last = out.splitlines()
    assert first.startswith("--- 20") and first.endswith("Z activate (upgrade)")
    assert last.startswith("--- 20") and last.endswith("Z activate (upgrade): done")
    assert "MAIL_PASSWORD=********" in middle and "red ? pé?" in middle
    assert "shared-mail-password" not in out
    kept = json.loads(done(fleet.command("logs", newest_id(fleet), "alpha", "--json")))
    assert kept == {"rollout": newest_id(fleet), "client": "alpha", "state": "healthy",
                    "running": False, "from": 0, "end": len(out.encode()), "text": out}
    key = fleet.folder / "keys/api-token"
    over_tcp = done(run("logs", newest_id(fleet), "alpha", "--url", fleet.service.url,
                        "--token-file", key))
    assert over_tcp == out


def test_the_way_back_stands_in_the_same_log(fleet):
    fleet.script("alpha", "if grep -q api:1.0.1 compose.yaml; then echo no disk; exit 3; fi\n")
    fleet.upgrade("1.0.1")
    fleet.settle()
    lines = [line.split("Z ")[-1] for line in done(
        fleet.command("logs", newest_id(fleet), "alpha")).splitlines()]
    assert lines == ["activate (upgrade)", "no disk",
                     "activate (upgrade): failed: activate ended with status 3",
                     "activate (rollback)", "activate (rollback): done"]


def test_each_step_has_its_part(fleet):
    define_steps(fleet, restore="always")
    fleet.script("alpha", "echo migrates\n")
    fail_upgrade(fleet)
    fleet.settle()
    lines = [line.split("Z ")[-1] for line in done(
        fleet.command("logs", newest_id(fleet), "alpha")).splitlines()]
    notes = [line for line in lines if not line.endswith("migrates")]
    assert notes == ["backup", "backup: done", "activate (upgrade)", "activate (upgrade): done",
                     "restore, activate (rollback)", "restore, activate (rollback): done"], lines


def test_follow_shows_what_comes_and_ends_with_the_client(fleet):
    fleet.script("alpha", 'echo first; until [ -e "$control/go" ]; do sleep 0.02; done\n'
                 "echo second\n")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    with subprocess.Popen(
            [AVIARY, "logs", "-c", fleet.service.config, newest_id(fleet), "alpha", "--follow"],
            stdout=subprocess.PIPE, encoding="utf-8", env=environment()) as follower:
        try:
            assert follower.stdout.readline().endswith("Z activate (upgrade)\n")
            assert follower.stdout.readline() == "first\n"
            (fleet.control / "go").touch()
            assert follower.stdout.readline() == "second\n"
            assert follower.stdout.readline().endswith(": done\n")
            assert follower.stdout.read() == ""
            assert follower.wait(PATIENCE_S) == 0
        finally:
            follower.kill()
    fleet.settle()
    parts = [json.loads(line) for line in done(fleet.command(
        "logs", newest_id(fleet), "alpha", "--follow", "--json")).splitlines()]
    assert [part["running"] for part in parts] == [False]


def test_from_gives_only_what_came_since(fleet):
    path = f"{newest_id(fleet)}/log/alpha"
    _, whole = ask(fleet, path)
    _, rest = ask(fleet, f"{path}?from=4")
    assert (rest["from"], rest["end"], rest["text"]) == (4, whole["end"], whole["text"][4:])
    _, nothing = ask(fleet, f"{path}?from={whole['end']}")
    assert (nothing["end"], nothing["text"]) == (whole["end"], "")
    for wrong in ("-1", "x", "1x", ""):
        status, answer = ask(fleet, f"{path}?from={wrong}")
        assert (status == 400 and "'from' is a number" in answer["error"]) or not wrong


def test_what_there_is_not_is_named(fleet):
    rollout = newest_id(fleet)
    for arguments, told in (
            (["20200101-000000-1234567", "alpha"], "no rollout '20200101-000000-1234567'"),
            ([rollout[:-1], "alpha"], f"did you mean '{rollout}'?"),
            ([rollout, "alpa"], "no client 'alpa' is recorded: did you mean 'alpha'?"),
            ([rollout, "../../aviary"], "no client '../../aviary' is recorded"),
            (["..", "alpha"], "no rollout '..' is recorded")):
        result = fleet.command("logs", *arguments)
        assert result.returncode == 1 and told in result.stderr, result.stderr
    fleet.upgrade("2.0.1", app="web")
    fleet.settle()
    result = fleet.command("logs", newest_id(fleet), "gamma")  # has no web
    assert result.returncode == 1
    assert f"rollout '{newest_id(fleet)}' does not change client 'gamma'" in result.stderr


def test_without_a_log_it_says_so(fleet):
    for path in (fleet.state / "logs").rglob("*.log"):
        path.unlink()
    result = fleet.command("logs", newest_id(fleet), "alpha")
    assert (result.returncode, result.stdout) == (0, "")
    assert "nothing is kept of it" in result.stderr


def test_reading_it_needs_the_right_to_read(fleet):
    fleet.write_key("reader-token", "reader-token-of-the-tests-0123456789")
    path = f"{newest_id(fleet)}/log/alpha"
    for token in (None, "wrong-token-of-nobody"):
        status, _ = ask(fleet, path, token=token)
        assert status == 401


@pytest.mark.parametrize("arguments", [
    [], ["a"], ["a", "b", "c"], ["a", "b", "--loud"], ["a", "b", "--token-file", "x"]])
def test_wrong_usage_is_exit_status_2(arguments):
    result = run("logs", *arguments)
    assert result.returncode == 2 and "usage: aviary logs" in result.stderr


def test_without_a_service_it_is_exit_status_3(idle_fleet):
    result = idle_fleet.command("logs", "20261124-101500-1234567", "alpha")
    assert result.returncode == 3 and "no service answers" in result.stderr
