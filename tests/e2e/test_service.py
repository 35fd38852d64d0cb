"""Life of the service: what it refuses to start with, how it stops, reloads, and yields."""

import json
import os
import re
import signal
import stat
import subprocess

import pytest

from tests.lib.fleet import (AVIARY, CLIENTS, WITH_API, environment, fetch, sops, wait_for)
from tests.lib.gitserver import git


def check(fleet, *arguments):
    return subprocess.run([AVIARY, "serve", "-c", str(fleet.service.config), *arguments],
                          env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", timeout=60, check=False)


def append(fleet, text):
    with open(fleet.service.config, "a", encoding="utf-8") as config:
        config.write(text)


# ---- what it does not start with -------------------------------------------------------------


def test_a_good_configuration_passes_the_check(idle_fleet):
    done = check(idle_fleet, "--check")
    assert done.returncode == 0 and done.stdout.endswith("fine\n"), done.stderr


@pytest.mark.parametrize("name", ["age-key.txt", "webhook-secret", "api-token"])
def test_a_secret_file_that_others_can_read_is_refused(idle_fleet, name):
    path = idle_fleet.folder / "keys" / name
    path.chmod(0o644)
    for arguments in ((), ("--check",)):
        done = check(idle_fleet, *arguments)
        assert done.returncode == 1
        assert name in done.stderr and "chmod" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["age-key.txt", "webhook-secret", "api-token"])
def test_a_secret_file_that_is_missing_is_named(idle_fleet, name):
    (idle_fleet.folder / "keys" / name).unlink()
    done = check(idle_fleet)
    assert done.returncode == 1 and name in done.stderr


def test_an_unknown_key_is_refused_with_the_nearest_name(idle_fleet):
    append(idle_fleet, "lisen: 127.0.0.1:1\n")
    done = check(idle_fleet)
    assert done.returncode == 1
    assert re.search(r"aviary\.yaml:\d+: .*'lisen'.*listen", done.stderr)


@pytest.mark.parametrize("key, text", [
    ("hosts.resolve", "hosts: {resolve: {}}\n"),
    ("forge", "forge: {kind: gitea}\n"),
    ("notify", "notify: []\n"),
])
def test_a_key_that_comes_later_is_refused_by_name(idle_fleet, key, text):
    append(idle_fleet, text)
    done = check(idle_fleet)
    assert done.returncode == 1
    assert re.search(rf"aviary\.yaml:\d+: .*'{key}'.*not supported yet", done.stderr), done.stderr


def test_all_mistakes_of_a_configuration_are_told_at_once(idle_fleet):
    append(idle_fleet, "lisen: x\nnotify: []\nlog_level: loud\n")
    lines = check(idle_fleet).stderr.splitlines()
    assert len([line for line in lines if re.match(r"\S*aviary\.yaml:\d+: ", line)]) == 3, lines


def test_a_secret_in_the_configuration_itself_is_not_taken(idle_fleet):
    append(idle_fleet, "webhook_secret: do-not-show-this\n")
    done = check(idle_fleet)
    assert done.returncode == 1 and "do-not-show-this" not in done.stderr + done.stdout


def test_a_second_service_on_the_same_state_folder_is_refused(fleet):
    done = check(fleet)
    assert done.returncode == 1
    assert "state" in done.stderr and re.search("lock|another|running", done.stderr), done.stderr
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]


def test_an_address_that_is_taken_is_told(fleet):
    second = fleet.second()
    text = second.config.read_text()
    address = fleet.service.url.removeprefix("http://")
    second.config.write_text(text.replace("127.0.0.1:0", address))
    done = subprocess.run([AVIARY, "serve", "-c", str(second.config)], env=environment(),
                          stderr=subprocess.PIPE, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 1 and address in done.stderr


# ---- stopping and going on -------------------------------------------------------------------


def test_sigterm_during_a_deploy_ends_it_and_a_restart_goes_on(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.service.terminate()
    wait_for("the service to stop accepting", lambda: "stopping" in fleet.service.log())
    fleet.let_go("alpha")
    assert fleet.service.wait() == 0
    assert [(each.what, each.client) for each in fleet.activations("")] == [
        ("start", "alpha"), ("end", "alpha")]
    assert fleet.ends(commit) == []
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"]
    assert len(fleet.activations()) == len(WITH_API)  # nobody twice
    assert len(fleet.rollouts(commit)) == 1


def test_sigterm_during_a_bake_leaves_the_rollout_to_the_restart(fleet):
    fleet.edit("fleet.yaml", "bake: 200ms", "bake: 700ms")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the bake", lambda: "baking" in str(fleet.subjects()[-1]))
    fleet.service.stop()
    assert fleet.ends(commit) == []
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert len(fleet.activations()) == len(WITH_API)
    assert len([s for s in fleet.subjects() if "stage canary baking" in s]) >= 2


def test_a_restart_on_an_empty_machine_goes_on_from_the_branch(fleet):
    """The state folder is lost with the machine; the config, the keys and the hosts are left."""
    fleet.hold_back("beta")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("beta", commit)
    fleet.let_go("beta")
    fleet.service.stop()
    fleet.state.rename(fleet.folder / "lost")
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"]
    assert len(fleet.activations()) == len(WITH_API)
    assert re.fullmatch(r"leader\([^)]+\): epoch 3", [
        subject for subject in fleet.subjects() if subject.startswith("leader(")][-1])


def test_a_commit_during_the_stop_is_taken_by_the_restart(fleet):
    fleet.hold_back("alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", first)
    fleet.service.terminate()
    second = fleet.upgrade("1.0.2", webhook=False)
    fleet.let_go("alpha")
    assert fleet.service.wait() == 0
    fleet.start().settle()
    assert fleet.ends(first) == ["superseded"] and fleet.results(first) == {
        "alpha": ["superseded"]}
    assert fleet.results(second) == {client: ["succeeded"] for client in WITH_API}


def test_webhooks_get_503_while_it_stops(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.service.terminate()
    wait_for("the service to stop", lambda: "stopping" in fleet.service.log())
    try:
        status, _ = fleet.service.deliver(fleet.payload("0" * 40, commit))
        assert status == 503
    except OSError:
        pass  # it does not accept connections any more, which a forge repeats as well
    fleet.let_go("alpha")
    assert fleet.service.wait() == 0


def test_the_socket_is_for_its_user_only_and_goes_with_the_service(fleet):
    path = fleet.state / "aviary.sock"
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode) and mode & 0o777 == 0o600
    fleet.service.stop()
    assert not path.exists()
    done = fleet.command("status")
    assert done.returncode == 3 and "aviary serve" in done.stderr


# ---- reloading -------------------------------------------------------------------------------


def reload(fleet, said="secrets, tokens and keys reloaded"):
    count = fleet.service.log().count(said)
    fleet.service.process.send_signal(signal.SIGHUP)
    fleet.wait_for(said, lambda: fleet.service.log().count(said) > count)


def test_sighup_reads_the_webhook_secret_and_the_tokens_again(fleet):
    fleet.write_key("webhook-secret", "another-webhook-secret")
    fleet.write_key("api-token", "another-token-0123456789abcdef")
    payload = fleet.payload("0" * 40, fleet.head())
    assert fleet.service.deliver(payload)[0] == 202
    reload(fleet)
    assert fleet.service.deliver(payload)[0] == 401
    assert fleet.service.ask("/api/v1/status")[0] == 401
    assert fleet.service.ask("/api/v1/status", token="another-token-0123456789abcdef")[0] == 200


def test_a_reload_that_fails_keeps_the_old_secrets(fleet):
    (fleet.folder / "keys/webhook-secret").unlink()
    reload(fleet, "secrets were not reloaded, the old ones stay")
    assert fleet.service.deliver(fleet.payload("0" * 40, fleet.head()))[0] == 202


def test_sighup_takes_a_new_age_key_and_keeps_what_runs(fleet):
    tip = fleet.tip()
    old = (fleet.folder / "keys/age-key.txt").read_text()
    fleet.write_key("age-key.txt", old + sops("keygen"))
    reload(fleet)
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert "digest key lost" not in " ".join(fleet.subjects(since=tip))


def test_sighup_during_a_deploy_loses_nothing(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.write_key("age-key.txt", (fleet.folder / "keys/age-key.txt").read_text()
                    + sops("keygen"))
    fleet.service.process.send_signal(signal.SIGHUP)
    fleet.let_go("alpha")
    fleet.wait_for("the end", lambda: fleet.ends(commit))
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert len(fleet.activations()) == len(WITH_API)


# ---- leadership ------------------------------------------------------------------------------


def take_over(fleet):
    """A second service that leads, and the first knows."""
    second = fleet.second().start()
    fleet.wait_for("its epoch", lambda: any(
        subject.endswith("epoch 3") for subject in fleet.subjects()))
    fleet.service.deliver(fleet.payload("0" * 40, fleet.head()))
    fleet.wait_for("the first to yield", lambda: fleet.service.readyz()[0] == 503)
    return second


def test_a_second_service_takes_over_and_the_first_stops_acting(fleet):
    second = take_over(fleet)
    leader = second.api("status")["leader"]["instance"]
    assert leader in fleet.service.readyz()[1]
    commit = fleet.upgrade("1.0.1")  # tells the first one only
    status, _ = second.deliver(fleet.payload("0" * 40, commit))
    assert status == 202
    wait_for("the end", lambda: fleet.ends(commit), second.check_alive)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert len(fleet.activations()) == len(WITH_API)
    assert {fleet.state_of(client)["epoch"] for client in WITH_API} == {3}
    assert fleet.service.readyz()[0] == 503
    assert sum(subject.startswith("leader(") for subject in fleet.subjects()) == 3


def test_who_lost_the_lead_does_not_take_it_back_by_a_restart(fleet):
    take_over(fleet)
    fleet.service.stop()
    tip = fleet.tip()
    fleet.start(ready=False)
    fleet.wait_for("its first look", lambda: fleet.service.api("status")["looks"])
    assert fleet.service.readyz()[0] == 503
    assert fleet.tip() == tip


def test_a_leader_that_is_deposed_in_a_deploy_starts_nothing_more(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    second = fleet.second()
    second.start(ready=False)
    wait_for("the new epoch", lambda: any(
        subject.endswith("epoch 3") for subject in fleet.subjects()), second.check_alive)
    fleet.let_go("alpha")
    wait_for("the end", lambda: fleet.ends(commit), second.check_alive)
    fleet.service.deliver(fleet.payload("0" * 40, commit))
    fleet.wait_for("the first to yield", lambda: fleet.service.readyz()[0] == 503)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"]


# ---- a branch that is lost (with a running service: test_push.py) ----------------------------


def test_apply_accept_history_goes_on_without_the_branch(idle_fleet):
    fleet = idle_fleet
    git(fleet.bare, "update-ref", "-d", "refs/heads/deployments")
    assert fleet.command("apply").returncode == 1
    assert not fleet.has_branch()
    done = fleet.command("apply", "--accept-history")
    assert done.returncode == 0, done.stderr
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}
    assert fleet.command("apply").stdout.startswith("nothing to do")


# ---- the process -----------------------------------------------------------------------------


def test_health_needs_nothing(fleet):
    assert fetch(fleet.service.url + "/healthz")[0] == 200
    assert fleet.service.readyz()[0] == 200


def test_logs_as_json(idle_fleet):
    process = subprocess.Popen(
        [AVIARY, "serve", "-c", str(idle_fleet.service.config), "--log-format", "json"],
        env=environment(), stderr=subprocess.PIPE, encoding="utf-8")
    line = process.stderr.readline()
    process.terminate()
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    for text in [line, *rest.splitlines()]:
        assert {"time", "level", "message"} <= json.loads(text).keys()


def test_the_folder_of_the_state_is_for_its_user_only(fleet):
    for path in (fleet.state, fleet.state / "logs"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert os.stat(fleet.state / "mirror.git").st_mode & 0o022 == 0
