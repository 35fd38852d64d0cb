"""What a restart, or a host, tells that the newest record does not."""

import re

from tests.lib.fleet import CLIENTS, POLICY, WITH_API


def test_a_refusal_beside_a_rollout_does_not_hide_it_from_a_restart(fleet):
    fleet.hold_back("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("alpha", commit)
    fleet.write(POLICY, "version: 1\nversion: 2\n")
    bad = fleet.push("bad")
    fleet.wait_for("the refusal", lambda: fleet.ends(bad) == ["refused"])
    fleet.service.kill()
    fleet.let_go("alpha")
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["succeeded"]
    assert fleet.ends(bad) == ["refused"]


def test_a_canary_that_is_away_is_waited_for_also_after_a_restart(fleet):
    """Two canaries: alpha cannot be reached, beta is worked on while the service dies."""
    text = fleet.read("ansible/inventory/clients.yml")
    beta = re.search(r"        beta:\n(?:          .*\n)+", text).group(0)
    text = text.replace(beta, "").replace("    production:\n", beta + "    production:\n")
    fleet.write("ansible/inventory/clients.yml", text)
    fleet.edit(POLICY, "name: canary, group: canary,", "name: canary, group: canary, batch: 2,")
    fleet.push("two canaries")
    fleet.settle()
    old = fleet.root("alpha")
    old.rename(old.with_name("alpha.away"))
    old.write_text("no folder: a host that cannot be reached\n")
    fleet.hold_back("beta")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for_activation("beta", commit)
    fleet.wait_for("alpha's record", lambda: fleet.record("alpha")["state"] == "waiting")
    fleet.service.kill()
    fleet.let_go("beta")
    fleet.start()
    fleet.wait_for("the rollout to wait", lambda: fleet.rollout(commit)["state"] == "waiting")
    assert fleet.rollout(commit)["waits_for"] == "unreachable hosts: alpha"
    assert {line.client for line in fleet.activations(commit=commit)} <= {"beta"}
    assert "Waiting for unreachable hosts: alpha" in fleet.command("status").stdout
    old.unlink()
    old.with_name("alpha.away").rename(old)
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["waiting", "succeeded"]


def test_a_host_that_names_a_later_rollout_is_not_touched(fleet):
    state = fleet.root("alpha") / ".aviary/state"
    text = state.read_text()
    state.write_text(re.sub(r"rollout: \S+", "rollout: 29990101-000000-0000000", text))
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the reason", lambda: fleet.service.readyz()[0] == 503)
    assert "29990101-000000-0000000" in str(fleet.service.readyz()[1])
    assert "--accept-history" in fleet.command("status").stdout
    assert not fleet.activations()
    assert fleet.ends(commit) == []
    fleet.service.stop()
    done = fleet.command("apply", "--accept-history")
    assert done.returncode == 0, done.stderr
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    fleet.start()
    commit = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}
