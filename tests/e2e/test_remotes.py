"""The service and its remote: by ssh and https, with tokens and host keys, and while it is away.

Pushes that are declined or overtaken: test_push.py."""

import re

import pytest

from tests.lib.fleet import WITH_API, wait_for
from tests.lib.gitserver import HttpsServer, SshServer, git


def url_line(fleet):
    return f'url: "{fleet.bare}",'


def assert_upgraded(fleet, commit):
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"]
    assert len(fleet.activations(commit=commit)) == len(WITH_API)


# ---- transports ------------------------------------------------------------------------------


def test_a_whole_rollout_over_ssh(idle_fleet):
    fleet = idle_fleet
    with SshServer(fleet.folder / "ssh") as ssh:
        fleet.configure("300ms", **{
            url_line(fleet): f'url: "{ssh.url(fleet.bare)}", ssh_key_file: "{ssh.key}", '
                             f'known_hosts_file: "{ssh.known_hosts}",'})
        fleet.start()
        commit = fleet.upgrade("1.0.1", webhook=False)
        fleet.settle()
        assert_upgraded(fleet, commit)
        assert len(fleet.tags()) == len(WITH_API) + 2
        fleet.service.stop()


def test_an_ssh_host_that_is_not_known_is_told_with_the_line_to_add(fresh_fleet):
    fleet = fresh_fleet
    with SshServer(fleet.folder / "ssh") as ssh:
        line = ssh.known_hosts_line()
        ssh.known_hosts.write_text("# nobody\n")
        fleet.configure(**{url_line(fleet): f'url: "{ssh.url(fleet.bare)}", '
                           f'ssh_key_file: "{ssh.key}", known_hosts_file: "{ssh.known_hosts}",'})
        fleet.start(ready=False)
        fleet.wait_for("a look", lambda: fleet.service.api("status")["looks"])
        status, text = fleet.service.readyz()
        assert status == 503 and line in text
        assert fleet.command("status", check=True).stdout.count(line) == 1
        fleet.service.stop()


def test_a_whole_rollout_over_https_with_a_token(idle_fleet):
    fleet = idle_fleet
    git(fleet.bare, "config", "http.receivepack", "true")
    fleet.write_key("token", "https-token-of-the-tests")
    with HttpsServer(fleet.folder / "https", fleet.folder / "forge",
                     password="https-token-of-the-tests") as https:
        fleet.configure(**{url_line(fleet): f'url: "{https.url("demo/infra.git")}", '
                           f'token_file: "{fleet.folder}/keys/token", ca_file: "{https.ca}",'})
        fleet.start()
        commit = fleet.upgrade("1.0.1")
        fleet.settle()
        assert_upgraded(fleet, commit)
        fleet.service.stop()
    assert "https-token" not in fleet.service.log()


def test_https_that_refuses_the_token_is_told(fresh_fleet):
    fleet = fresh_fleet
    fleet.write_key("token", "a-wrong-token-of-the-tests")
    with HttpsServer(fleet.folder / "https", fleet.folder / "forge", password="right") as https:
        fleet.configure(**{url_line(fleet): f'url: "{https.url("demo/infra.git")}", '
                           f'token_file: "{fleet.folder}/keys/token", ca_file: "{https.ca}",'})
        fleet.start(ready=False)
        fleet.wait_for("a look", lambda: fleet.service.api("status")["looks"])
        status, text = fleet.service.readyz()
        assert status == 503 and re.search("401|auth|token", text)
        assert "a-wrong-token" not in text + fleet.service.log()
        fleet.service.stop()


def test_the_status_branch_may_be_in_another_repository(fresh_fleet):
    fleet = fresh_fleet
    other = fleet.folder / "forge/demo/status.git"
    git(".", "init", "-q", "--bare", "-b", "main", other)
    fleet.configure(**{"status: {": f'status: {{url: "{other}", '})
    fleet.start().settle()
    assert not fleet.has_branch() and fleet.tags() == {}
    subjects = git(other, "log", "--format=%s", "deployments")
    assert len(re.findall(r"^onboard\(\w+\): .*: succeeded$", subjects, re.M)) == 5
    assert fleet.command("apply").stdout.startswith("nothing to do")


# ---- a remote that is away -------------------------------------------------------------------


def test_the_remote_is_away_while_the_canary_goes_back(fleet):
    """The accepted intent covers the rollback: it does not wait; nothing else starts."""
    away = fleet.bare.with_name("away.git")
    fleet.hold_back("alpha")
    fleet.sick("all", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.bare.rename(away)
    fleet.let_go("alpha")
    wait_for("the way back", lambda: [
        each for each in fleet.activations("end") if each.action == "rollback"])
    wait_for("the canary to be back", lambda: fleet.runs("alpha", "api:1.0.0"))
    assert {each.client for each in fleet.activations()} == {"alpha"}
    away.rename(fleet.bare)
    fleet.wait_for("the record", lambda: fleet.ends(commit))
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert fleet.ends(commit) == ["failed"]
    assert len(fleet.activations()) == 2


def test_the_remote_is_away_between_two_stages(fleet):
    away = fleet.bare.with_name("away.git")
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.bare.rename(away)
    fleet.let_go("alpha")
    fleet.wait_for("the trouble", lambda: fleet.service.api("status")["problem"])
    assert {each.client for each in fleet.activations()} == {"alpha"}
    away.rename(fleet.bare)
    fleet.wait_for("the record", lambda: fleet.ends(commit))
    assert_upgraded(fleet, commit)


@pytest.mark.parametrize("what", ["branch", "objects"])
def test_a_repository_that_is_cut_short_makes_nobody_vanish(fleet, what):
    """A fetch that fails or finds less is no inventory without clients."""
    tip = fleet.tip()
    if what == "branch":
        git(fleet.bare, "update-ref", "-d", "refs/heads/main")
    else:
        commit = fleet.upgrade("1.0.1", webhook=False)
        blob = git(fleet.bare, "rev-parse", f"{commit}:docker/apps.yml")
        (fleet.bare / "objects" / blob[:2] / blob[2:]).unlink()
    looks = fleet.service.api("status")["looks"]
    fleet.service.deliver(fleet.payload("0" * 40, fleet.head()))
    fleet.wait_for("a look", lambda: fleet.service.api("status")["looks"] > looks)
    status = fleet.service.api("status")
    assert status["problem"] and status["vanished"] == []
    assert fleet.tip() == tip and fleet.activations() == []
