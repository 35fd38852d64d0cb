"""Drift: a host that does not run what its record says is reported once, shown, and over when it is
over. Nobody is touched for it unless the policy says `repair`.
"""

import datetime
import json
import re
import shutil

import pytest

from tests.lib.fleet import CLIENTS, INVENTORY, POLICY, WITH_API

SOON = "drift_interval: 1s\n"


def follow_drift(fleet, **keys):
    """The policy as a commit that changes nobody, and what was written before it."""
    lines = "".join(f"{key}: {value}\n" for key, value in keys.items())
    fleet.write(POLICY, fleet.read(POLICY) + SOON + lines)
    commit = fleet.push("look for drift")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]
    return commit


def told(fleet, client="alpha"):
    """What the branch tells of a client's drift, oldest first."""
    start = f"drift({client}): "
    return [each.removeprefix(start) for each in fleet.subjects() if each.startswith(start)]


def wait_for_drift(fleet, count=1, client="alpha"):
    return fleet.wait_for("drift", lambda: len(told(fleet, client)) >= count and told(fleet, client))


def short(digest):
    return digest[:15] + ".."


def point_elsewhere(fleet, client="alpha"):
    """`current` of a client points to the release of its first commit; returns how it was."""
    link = fleet.root(client) / "current"
    was = link.readlink()
    (other,) = [each for each in (fleet.root(client) / "releases").iterdir()
                if each.name != was.name]
    link.unlink()
    link.symlink_to(f"releases/{other.name}")
    return was


def test_a_host_that_runs_something_else_is_reported_once_and_nothing_is_touched(fleet):
    fleet.upgrade("1.0.1")
    follow_drift(fleet)
    runs = fleet.record("alpha")["release"]
    was = point_elsewhere(fleet)
    before = len(fleet.activations(""))
    (what,) = wait_for_drift(fleet)
    other = "sha256:" + (fleet.root("alpha") / "current").readlink().name
    assert what == f"current points to {short(other)} instead of {short(runs)}"
    record = fleet.record("alpha")
    assert record["release"] == runs and record["state"] == "healthy"
    assert record["drift"]["runs"][:23] == other and record["drift"]["what"] == what
    assert f"Drift   alpha: {what}, since " in fleet.command("status").stdout
    explained = fleet.command("explain", "alpha").stdout
    assert f"Drift since {record['drift']['since'].strftime('%Y-%m-%dT%H:%M:%SZ')}: {what}." \
        in explained
    (client,) = [each for each in fleet.service.api("status")["clients"]
                 if each["client"] == "alpha"]
    assert client["drift"]["what"] == what
    assert "host does not run what is recorded" in fleet.service.log()
    # another one of the fleet drifts: by then alpha was asked again, and is not told again
    shutil.rmtree(fleet.root("beta") / ".aviary")
    wait_for_drift(fleet, client="beta")
    fleet.service.stop()
    fleet.start()
    (fleet.root("gamma") / "current").unlink()
    wait_for_drift(fleet, client="gamma")
    assert told(fleet) == [what]
    link = fleet.root("alpha") / "current"
    link.unlink()
    link.symlink_to(was)
    assert wait_for_drift(fleet, 2)[1] == f"over: runs {short(runs)} as recorded"
    assert "drift" not in fleet.record("alpha")
    assert len(fleet.activations("")) == before
    assert fleet.command("history", "--verify").returncode == 0


def remove_release(fleet):
    shutil.rmtree((fleet.root("alpha") / "current").resolve())


def remove_everything(fleet):
    shutil.rmtree(fleet.root("alpha"))


def change_a_file(fleet):
    path = fleet.root("alpha") / "current/compose.yaml"
    path.write_text(path.read_text().replace("api:1.0.0", "api:9.9.9"))


def open_the_env(fleet):
    (fleet.root("alpha") / "current/.env").chmod(0o644)


def leave_an_activation(fleet):
    path = fleet.root("alpha") / ".aviary/state"
    path.write_text(path.read_text().replace("phase: active", "phase: activating"))


def break_the_state(fleet):
    (fleet.root("alpha") / ".aviary/state").write_text("{ no yaml\n")


def name_another(fleet):
    path = fleet.root("alpha") / ".aviary/state"
    path.write_text(path.read_text().replace(fleet.record("alpha")["release"], "sha256:" + 64 * "9"))


@pytest.mark.parametrize("damage, what", [
    (remove_release, "the folder of {runs} is missing"),
    (remove_everything, "no state instead of {runs}"),
    (change_a_file, "file compose.yaml of {runs} was changed"),
    (open_the_env, "file .env of {runs} was changed"),
    (leave_an_activation, "the activation of {runs} did not end"),
    (name_another, "runs sha256:99999999.. instead of {runs}"),
    (break_the_state, "its state does not read: "),
], ids=lambda value: getattr(value, "__name__", ""))
def test_what_counts_as_drift(fleet, damage, what):
    follow_drift(fleet)
    damage(fleet)
    (found,) = wait_for_drift(fleet)
    assert found.startswith(what.format(runs=short(fleet.record("alpha")["release"])))
    assert "password" not in found


def test_what_a_release_is_given_on_its_host_is_no_drift(fleet):
    follow_drift(fleet)
    (fleet.root("alpha") / "current/data").mkdir()
    (fleet.root("alpha") / "current/data/uploaded").write_text("by a user\n")
    point = fleet.root("beta") / "current"
    point.unlink()
    wait_for_drift(fleet, client="beta")
    assert told(fleet) == []


def test_a_host_that_cannot_be_reached_is_no_drift(fleet):
    follow_drift(fleet)
    root = fleet.root("alpha")
    root.rename(root.with_name("alpha.away"))
    root.write_text("no folder: a host that cannot be reached\n")
    shutil.rmtree(fleet.root("beta") / ".aviary")
    wait_for_drift(fleet, client="beta")
    assert told(fleet) == []


def test_drift_is_found_before_a_step_and_ended_by_it(fleet):
    """The schedule is an hour away: the rollout asks by itself."""
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    runs = fleet.record("alpha")["release"]
    point_elsewhere(fleet)
    (fleet.root("beta") / "current").unlink()
    commit = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    (what,) = told(fleet)
    assert what.endswith(f"instead of {short(runs)}")
    assert len(told(fleet, "beta")) == 1 and not told(fleet, "gamma")
    assert not any("drift" in fleet.record(client) for client in CLIENTS)
    assert fleet.command("replay", fleet.rollout(commit)["id"]).returncode == 0
    assert fleet.command("history", "--verify").returncode == 0


def test_nobody_asks_with_drift_off(fleet):
    follow_drift(fleet)
    shutil.rmtree(fleet.root("alpha") / ".aviary")
    wait_for_drift(fleet)
    fleet.write(POLICY, fleet.read(POLICY) + "drift: 'off'\n")
    fleet.push("nobody asks")
    assert wait_for_drift(fleet, 2)[1] == "over: drift: off, nobody asks any more"
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert len(told(fleet)) == 2


def test_apply_asks_no_schedule(idle_fleet):
    idle_fleet.write(POLICY, idle_fleet.read(POLICY) + SOON)
    idle_fleet.commit("look for drift")
    idle_fleet.send(webhook=False)
    shutil.rmtree(idle_fleet.root("alpha") / ".aviary")
    done = idle_fleet.command("apply", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["result"] == "succeeded"
    assert told(idle_fleet) == []


def test_a_host_that_names_a_later_rollout_is_more_than_drift(fleet):
    """The branch has lost that one: nothing is touched until somebody says what counts."""
    follow_drift(fleet, drift="repair")
    path = fleet.root("alpha") / ".aviary/state"
    path.write_text(re.sub(r"rollout: \S+", "rollout: 29990101-000000-0000000", path.read_text()))
    fleet.wait_for("the stop", lambda: fleet.service.readyz()[0] == 503)
    assert "29990101-000000-0000000" in fleet.service.readyz()[1]
    assert "--accept-history" in fleet.command("status").stdout
    assert told(fleet) == [] and not repairs(fleet) and not fleet.activations()


def test_only_the_leader_asks_and_tells(fleet):
    follow_drift(fleet)
    second = fleet.second()
    second.start()

    def stands_by():
        fleet.command("reconcile")
        return fleet.service.readyz()[0] == 503

    fleet.wait_for("the first to stand by", stands_by)
    shutil.rmtree(fleet.root("alpha") / ".aviary")
    shutil.rmtree(fleet.root("beta") / ".aviary")
    wait_for_drift(fleet, client="beta")
    wait_for_drift(fleet, client="alpha")
    (fleet.root("gamma") / "current").unlink()
    wait_for_drift(fleet, client="gamma")
    assert [len(told(fleet, client)) for client in ("alpha", "beta", "gamma")] == [1, 1, 1]
    told_by = "host does not run what is recorded"
    assert second.log().count(told_by) == 3 and told_by not in fleet.service.log()


# ---- drift: repair --------------------------------------------------------------------------

def repairs(fleet):
    """Records of the rollouts that put drift right, oldest first."""
    return [each for each in fleet.rollouts() if each.get("drift")]


def wait_for_repair(fleet, state="succeeded", count=1):
    def ended():
        found = [each for each in repairs(fleet) if each["state"] == state]
        return len(found) >= count and found[-1]

    return fleet.wait_for("a repair", ended)


def members(rollout):
    return {name: member["state"] for stage in rollout["stages"]
            for name, member in stage["clients"].items()}


def test_a_repair_is_an_ordinary_verified_rollout_of_what_is_recorded(fleet):
    upgrade = fleet.upgrade("1.0.1")
    fleet.settle()
    follow_drift(fleet, drift="repair")
    newest = fleet.head()
    records = {client: fleet.record(client) for client in CLIENTS}
    fleet.put("activations", "")
    point_elsewhere(fleet)
    rollout = wait_for_repair(fleet)
    assert rollout["commit"] == upgrade and members(rollout) == {"alpha": "healthy"}
    assert rollout["reasons"] == ["drift of alpha: " + told(fleet)[0]]
    fleet.wait_for("the end of drift", lambda: told(fleet)[-1].startswith("over: "))
    (line,) = fleet.activations()
    assert (line.client, line.action, line.rollout) == ("alpha", "upgrade", rollout["id"])
    assert line.release == records["alpha"]["release"]
    assert fleet.results(upgrade)["alpha"] == ["succeeded", "succeeded"]
    record = fleet.record("alpha")
    for key in ("release", "commit", "state", "apps"):
        assert record[key] == records["alpha"][key]
    assert record["known_good"]["release"] == record["release"]
    assert fleet.versions() == {client: "1.0.1" for client in WITH_API}
    # it does not count as last deployed, and nobody says that the newest commit is held or waits
    assert fleet.in_clone("plan", "--json").returncode == 0
    assert fleet.ends(newest) == ["succeeded"]
    assert not fleet.service.api("status")["waits"]
    for command in (("history", "--verify"), ("replay", rollout["id"])):
        done = fleet.command(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    commit = fleet.upgrade("1.0.2")
    fleet.settle(commit)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_the_canary_is_repaired_first_and_production_in_waves(fleet):
    follow_drift(fleet, drift="repair")
    fleet.service.stop()
    fleet.put("activations", "")
    for client in CLIENTS:
        change_a_file_of(fleet, client)
    fleet.start()
    rollout = wait_for_repair(fleet)
    assert members(rollout) == {client: "healthy" for client in CLIENTS}
    lines = fleet.activations("")
    assert [(line.what, line.client) for line in lines[:2]] == [("start", "alpha"), ("end", "alpha")]
    assert sorted(line.client for line in fleet.activations()) == sorted(CLIENTS)
    assert {line.rollout for line in lines} == {rollout["id"]}
    in_flight = 0
    for line in lines:
        in_flight += 1 if line.what == "start" else -1
        assert 0 <= in_flight <= 2
    fleet.wait_for("the end of drift", lambda: all(
        told(fleet, client)[-1].startswith("over: ") for client in CLIENTS))
    assert fleet.versions() == {client: "1.0.0" for client in WITH_API}


def change_a_file_of(fleet, client):
    path = fleet.root(client) / "current/compose.yaml"
    path.write_text(path.read_text() + "# by hand\n")


def test_a_repair_that_fails_is_held_until_somebody_asks_for_a_retry(fleet):
    follow_drift(fleet, drift="repair")
    fleet.put("alpha.sick", "api\n")
    shutil.rmtree(fleet.root("alpha") / ".aviary")
    change_a_file_of(fleet, "beta")  # production: its canary is held, so it waits
    rollout = wait_for_repair(fleet, "failed")
    assert members(rollout)["alpha"] == "failed"
    record = fleet.record("alpha")
    assert record["state"] == "failed" and record["held"]["release"] == record["release"]
    fleet.wait_for("beta's drift", lambda: told(fleet, "beta"))
    (fleet.root("gamma") / "current").unlink()
    wait_for_drift(fleet, client="gamma")  # a further round has ended
    assert len([each for each in repairs(fleet) if "alpha" in members(each)]) == 1
    assert "aviary retry alpha" in fleet.command("explain", "alpha").stdout
    fleet.put("alpha.sick", "")
    done = fleet.command("retry", "alpha", "--reason", "the database is up again")
    assert done.returncode == 0, done.stderr
    fleet.wait_for("alpha", lambda: fleet.record("alpha")["state"] == "healthy"
                   and "held" not in fleet.record("alpha"))
    for client in ("beta", "gamma"):
        fleet.wait_for("the others", lambda: told(fleet, client)[-1].startswith("over: "))


def test_drift_that_comes_back_after_its_repair_is_held(fleet):
    """`activate` itself changes a file that was delivered."""
    follow_drift(fleet, drift="repair")
    fleet.script("alpha", "echo '# by activate' >> compose.yaml\n")
    change_a_file(fleet)
    fleet.wait_for("the hold", lambda: "held" in fleet.record("alpha"))
    (rollout,) = repairs(fleet)
    record = fleet.record("alpha")
    assert record["held"]["reason"] == (f"drift came back after rollout {rollout['id']} had repaired "
                                        f"it: {told(fleet)[0]}")
    assert record["state"] == "healthy" and record["drift"]["what"] == told(fleet)[0]
    shutil.rmtree(fleet.root("beta") / ".aviary")
    fleet.wait_for("a round", lambda: told(fleet, "beta"))
    assert len([each for each in repairs(fleet) if "alpha" in members(each)]) == 1
    # a commit that wants something else of it is planned as usual
    fleet.script("alpha", "")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert "held" not in fleet.record("alpha") and "drift" not in fleet.record("alpha")


def test_a_repair_fights_no_hold_and_no_pause(fleet):
    follow_drift(fleet, drift="repair")
    fleet.sick("alpha", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit)["alpha"] == ["rolled-back"]
    done = fleet.command("pause", "beta", "--reason", "somebody works there")
    assert done.returncode == 0, done.stderr
    fleet.put("activations", "")
    for client in ("alpha", "beta"):
        change_a_file_of(fleet, client)
    wait_for_drift(fleet, client="beta")
    wait_for_drift(fleet, client="alpha")
    change_a_file_of(fleet, "gamma")
    wait_for_drift(fleet, client="gamma")
    assert not repairs(fleet) and not fleet.activations("")
    done = fleet.command("pause", "--reason", "nobody touches anything")
    assert done.returncode == 0, done.stderr
    fleet.sick("alpha")
    fix = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.ends(fix) == [] and not fleet.activations("")
    for client in ((), ("beta",)):
        assert fleet.command("resume", *client).returncode == 0
    fleet.settle(fix)
    fleet.wait_for("the fix", lambda: fleet.versions() == {each: "1.0.2" for each in WITH_API})


def test_a_repair_goes_on_after_a_restart(fleet):
    follow_drift(fleet, drift="repair")
    fleet.hold_back("alpha")
    change_a_file(fleet)
    line = fleet.wait_for_activation("alpha")
    fleet.service.kill()
    fleet.let_go("alpha")
    fleet.start()
    rollout = wait_for_repair(fleet)
    assert rollout["id"] == line.rollout
    fleet.wait_for("the end of drift", lambda: told(fleet)[-1].startswith("over: "))
    assert len(repairs(fleet)) == 1
    assert fleet.command("history", "--verify").returncode == 0


def test_a_newer_commit_comes_before_a_repair(fleet):
    follow_drift(fleet, drift="repair")
    fleet.checks.sick.add("alpha")  # the repair's verification takes its time
    change_a_file(fleet)
    fleet.wait_for("the repair", lambda: repairs(fleet))
    commit = fleet.upgrade("1.0.1")
    fleet.checks.sick.discard("alpha")
    fleet.settle(commit)
    fleet.wait_for("the upgrade", lambda: fleet.versions() == {each: "1.0.1" for each in WITH_API})
    assert repairs(fleet)[0]["state"] in ("superseded", "succeeded", "failed")
    assert fleet.ends(commit)[-1] == "succeeded"


def test_a_pinned_client_is_repaired_to_what_it_is_pinned_to(fleet):
    """Drift and pin together: the pin keeps a client from newer releases, not from its own."""
    follow_drift(fleet, drift="repair")
    day = (datetime.date.today() + datetime.timedelta(days=9)).isoformat()
    fleet.edit(INVENTORY, "client_name: alpha\n", "client_name: alpha\n          aviary_pin: "
               f"{{until: {day}, reason: the fair}}\n")
    fleet.settle(fleet.push("Pinned"))
    newer = fleet.upgrade("1.0.1")  # its canary is pinned: nobody starts
    fleet.settle(newer)
    before = fleet.record("alpha")
    assert before["pinned"]["until"] == day and before["apps"]["api"] == "1.0.0"
    fleet.put("activations", "")
    change_a_file_of(fleet, "alpha")
    rollout = wait_for_repair(fleet)
    fleet.wait_for("the end of drift", lambda: told(fleet)[-1].startswith("over: "))
    assert members(rollout) == {"alpha": "healthy"} and rollout["commit"] == before["commit"]
    (line,) = fleet.activations()
    assert (line.client, line.release) == ("alpha", before["release"])
    record = fleet.record("alpha")
    assert record["pinned"] == before["pinned"] and record["release"] == before["release"]
    shown = fleet.command("status").stdout
    assert f"Pinned  alpha until {day}" in shown and "Drift" not in shown


def test_drift_of_a_pinned_client_is_only_reported_with_report(fleet):
    day = (datetime.date.today() + datetime.timedelta(days=9)).isoformat()
    fleet.edit(INVENTORY, "client_name: beta\n", "client_name: beta\n          aviary_pin: "
               f"{{until: {day}, reason: the fair}}\n")
    follow_drift(fleet)
    fleet.put("activations", "")
    change_a_file_of(fleet, "beta")
    wait_for_drift(fleet, client="beta")
    shown = fleet.command("status").stdout
    assert f"Pinned  beta until {day}" in shown and "Drift   beta: " in shown
    assert not fleet.activations() and fleet.record("beta")["pinned"]["until"] == day
