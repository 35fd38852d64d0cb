"""Bugs that other deployment systems had, as scenarios: docs/scenarios.md says which test stands for
which. Here are those that no other file has.
"""

import re
import shutil
import subprocess

import pytest

from tests.lib.fleet import APPS, CLIENTS, INVENTORY, POLICY, WITH_API
from tests.lib.gitserver import ENVIRONMENT

LONG = "bake: 1h"


def commits_by_rollout(fleet):
    """{rollout: commits that its activations were run for}, as the hosts saw it."""
    found = {}
    for line in fleet.activations():
        found.setdefault(line.rollout, set()).add(line.commit)
    return found


MOMENTS = {
    "activation of the canary": lambda fleet: fleet.hold_back("alpha"),
    "verification of the canary": lambda fleet: fleet.checks.sick.add("alpha"),
    "bake": lambda fleet: fleet.edit(POLICY, "bake: 200ms", LONG),
    "approval": lambda fleet: fleet.edit(POLICY, "batch: 2", "batch: 2, approval: manual"),
    "first wave of production": lambda fleet: fleet.hold_back("beta"),
    "second wave of production": lambda fleet: fleet.hold_back("gamma"),
}
REACHED = {
    "activation of the canary": lambda fleet, commit: fleet.wait_for_activation("alpha", commit),
    "verification of the canary": lambda fleet, commit: fleet.wait_for(
        "a bad round", lambda: fleet.checks.asked.count("alpha")),
    "bake": lambda fleet, commit: fleet.wait_for(
        "the bake", lambda: [each for each in fleet.rollouts(commit)
                             if each["stages"][0]["state"] == "baking"]),
    "approval": lambda fleet, commit: fleet.wait_for(
        "the question", lambda: fleet.ends(commit) == ["waiting"]),
    "first wave of production": lambda fleet, commit: fleet.wait_for_activation("beta", commit),
    "second wave of production": lambda fleet, commit: fleet.wait_for_activation("gamma", commit),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_push_at_any_moment_mixes_no_commits(fleet, moment):
    """argo-cd#19535: the head moved between two steps, and groups got different commits."""
    MOMENTS[moment](fleet)
    first = fleet.upgrade("1.0.1")
    REACHED[moment](fleet, first)
    fleet.write(POLICY, fleet.read(POLICY).replace(LONG, "bake: 100ms").replace(
        ", approval: manual", ""))
    second = fleet.upgrade("1.0.2")
    fleet.wait_for("the newer commit to be seen", lambda: "superseded" in fleet.service.log())
    fleet.checks.sick.discard("alpha")
    for client in ("alpha", "beta", "gamma"):
        fleet.let_go(client)
    fleet.settle(second)
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.2")
    assert fleet.results(second) == {client: ["succeeded"] for client in WITH_API}
    assert all(len(commits) == 1 for commits in commits_by_rollout(fleet).values())


def test_no_more_in_flight_than_the_wave_as_the_hosts_count(fleet):
    """argo-cd#16881, #11924: more at once than allowed, after a restart in the middle of a wave."""
    fleet.edit(POLICY, "batch: 2", "batch: 1")
    for client in ("beta", "delta", "gamma"):
        fleet.hold_back(client)
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("beta", commit)
    fleet.service.kill()
    fleet.start()
    fleet.service.api("status")
    for client in ("beta", "delta", "gamma"):
        fleet.wait_for_activation(client, commit)
        in_flight = {line.client for line in fleet.activations()} - {
            line.client for line in fleet.activations("end")}
        assert in_flight <= {client}, in_flight
        fleet.let_go(client)
    fleet.settle(commit)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_an_aborted_commit_stays_so_whatever_asks_again(fleet):
    """argo-rollouts#2929: retried after an abort. Here a webhook, a look by hand, a restart, a new
    machine and the questions about drift."""
    fleet.write(POLICY, fleet.read(POLICY).replace("batch: 2", "batch: 2, approval: manual")
                + "drift: repair\ndrift_interval: 1s\n")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the question", lambda: fleet.ends(commit) == ["waiting"])
    fleet.command("abort", fleet.rollout(commit)["id"], "--reason", "not today", check=True)
    fleet.settle()
    assert fleet.ends(commit) == ["waiting", "aborted"]
    before = len(fleet.activations(""))
    fleet.service.deliver(fleet.payload(fleet.head(), fleet.head()))
    assert fleet.command("reconcile").returncode == 0
    fleet.service.stop()
    shutil.rmtree(fleet.state)
    fleet.state.mkdir(mode=0o700)
    fleet.start().settle()
    assert fleet.command("reconcile").returncode == 0
    assert fleet.ends(commit) == ["waiting", "aborted"]
    assert len(fleet.activations("")) == before
    assert fleet.versions() == dict(dict.fromkeys(WITH_API, "1.0.0"), alpha="1.0.1")
    assert f"commit {commit[:7]} is held" in fleet.command("status").stdout


def test_a_way_back_that_hangs_ends_as_failed(fleet):
    """pipecd#5717, #3468: a rollback without an end. Killed in it too: it ends once, all the same."""
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 2s")
    fleet.upgrade("1.0.1")  # the way back takes its time-out from the release that it leads to
    fleet.settle()
    fleet.put("activations", "")
    fleet.script("alpha", 'case "$AVIARY_ACTION" in\nrollback) sleep 3600;;\n*) exit 1;;\nesac\n')
    commit = fleet.upgrade("1.0.2")
    fleet.wait_for("the way back", lambda: [line for line in fleet.activations()
                                            if line.action == "rollback"])
    fleet.service.kill()
    fleet.start()
    fleet.wait_for("the end", lambda: fleet.ends(commit) == ["failed"])
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert fleet.record("alpha")["state"] == "failed"
    assert "rollback failed" in fleet.record("alpha")["held"]["reason"]
    assert {line.client for line in fleet.activations()} == {"alpha"}


def test_hosts_that_go_away_before_during_and_after_their_step_stop_nobody(fleet):
    """fleet#594, #192: one target that is off-line froze the status of all."""
    fleet.edit(POLICY, "batch: 2", "batch: 1, max_unreachable: 1")
    fleet.push("One may be away")
    fleet.settle()

    def leave(client):
        root = fleet.root(client)
        root.rename(root.with_name(f"{client}.away"))
        root.write_text("no folder: a host that cannot be reached\n")

    leave("beta")  # before its step
    fleet.hold_back("gamma")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("delta", commit, "end")
    fleet.wait_for_activation("gamma", commit)
    leave("delta")  # after it
    fleet.let_go("gamma")
    fleet.wait_for("the first rollout", lambda: "succeeded" in fleet.ends(commit)
                   or "failed" in fleet.ends(commit))
    states = fleet.rollouts(commit)[0]["stages"][1]["clients"]
    assert states["beta"]["state"] == "skipped" and states["gamma"]["state"] == "healthy"
    assert {line.client for line in fleet.activations("end")} == {"alpha", "gamma", "delta"}
    fleet.wait_for("who is waited for", lambda: re.search(
        r"^Waiting for unreachable hosts: .*beta.*, since ", fleet.command("status").stdout, re.M))
    for client in ("beta", "delta"):
        root = fleet.root(client)
        root.unlink()
        root.with_name(f"{client}.away").rename(root)
    fleet.wait_for("everybody", lambda: fleet.versions() == dict.fromkeys(WITH_API, "1.0.1"))
    fleet.settle(commit)
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}


def test_only_who_includes_a_file_is_in_the_plan_when_it_changes(fleet):
    """komodo#1381: a change of a file that is only included was not seen."""
    fleet.edit(APPS, "{{#apps.web}}\n  web:\n", "{{#apps.web}}\n  web:\n{{> web-options}}\n")
    fleet.write("templates/web-options.mustache", "    restart: always\n")
    fleet.push("A part of its own")
    fleet.settle()
    fleet.put("activations", "")
    fleet.write("templates/web-options.mustache", "    restart: unless-stopped\n")
    commit = fleet.push("Only the part")
    fleet.settle()
    assert set(fleet.results(commit)) == {"alpha", "beta", "epsilon"}
    assert {line.client for line in fleet.activations()} == {"alpha", "beta", "epsilon"}
    fleet.write("templates/nobody-reads.mustache", "{{nothing}}\n")
    assert fleet.results(fleet.push("A part that nobody includes")) == {}
    fleet.settle()
    assert len(fleet.activations()) == 3


def test_a_list_of_clients_that_is_cut_short_destroys_nobody(fleet):
    """argo-cd#18780: what could not be read whole was taken for deleted."""
    text = fleet.read(INVENTORY)
    for cut in (text[:len(text) // 2].rstrip("\n") + " [", text.split("    production:")[0]):
        fleet.write(INVENTORY, cut)
        commit = fleet.push("Half of it")
        fleet.settle()
        assert fleet.results(commit) == {}
    assert not fleet.activations("")
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}
    assert all((fleet.root(client) / "current/compose.yaml").exists() for client in CLIENTS)


def objects(repository):
    """The bytes of everything that a repository holds, whatever it is packed in."""
    return subprocess.run(["git", "-C", repository, "cat-file", "--batch-all-objects", "--batch"],
                          check=True, stdout=subprocess.PIPE, env=ENVIRONMENT).stdout


def test_a_kill_right_after_decryption_leaves_no_value_on_the_disk(idle_fleet):
    """swarm-cd, doco-cd: decrypted files were left in the clone. The whole state folder, the forge
    and the place for scratch files are searched; a client's own root is its host."""
    fleet, value = idle_fleet, "kill-right-after-decryption-7f31"
    scratch = fleet.folder / "scratch"
    scratch.mkdir()
    fleet.start(env={"TMPDIR": str(scratch)}).settle()
    fleet.write_secrets("clients/alpha", database_password=value)
    fleet.hold_back("alpha")
    commit = fleet.push("Another password")
    fleet.wait_for_activation("alpha", commit)
    fleet.service.kill()
    fleet.let_go("alpha")
    for folder in (fleet.state, fleet.bare, scratch):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert value.encode() not in path.read_bytes(), path
    for repository in (fleet.state / "mirror.git", fleet.bare):
        assert value.encode() not in objects(repository)
    assert value in (fleet.root("alpha") / "current/.env").read_text()
    fleet.start().settle(commit)
    assert fleet.results(commit) == {"alpha": ["succeeded"]}
