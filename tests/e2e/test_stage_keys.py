"""Keys of a stage that say how many at once, when, and what becomes of hosts that are away."""

import datetime
import getpass
import time

from tests.lib.fleet import CLIENTS, POLICY, WITH_API


def test_waves_of_a_list(fleet):
    fleet.edit(POLICY, "batch: 2", "batch: [1, 2], wave_pause: 100ms")
    fleet.push("One, then two")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    starts = [fact.client for fact in fleet.facts(commit)
              if fact.result == "started" and fact.stage == "production"]
    ends = [each for each in fleet.activations("", commit) if each.stage == "production"]
    assert sorted(starts) == ["beta", "delta", "gamma"]
    # the first alone, then the others
    assert [each.what for each in ends[:2]] == ["start", "end"]
    assert ends[0].client == ends[1].client == starts[0]
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_going_back_to_known_good_does_not_wait_for_the_bake(fleet):
    bad = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.edit(POLICY, "bake: 200ms", "bake: 1h, rollback_bake: 100ms")
    fleet.push("Long bakes")
    fleet.settle()
    revert = fleet.revert(bad)
    fleet.settle()
    assert fleet.results(revert) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.rollout(revert)["stages"][0]["bake"] == "100ms"
    assert fleet.activations(commit=revert)[0].client == "alpha"
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.0")


def write_zone(folder, hours):
    """Test/Here: so many hours east of UTC, as a file of the tz database."""
    header = b"TZif2" + bytes(15) + (0).to_bytes(4, "big") * 4 + (1).to_bytes(4, "big")
    body = (hours * 3600).to_bytes(4, "big", signed=True) + bytes(2) + b"HERE\0"
    one = header + (5).to_bytes(4, "big") + body
    path = folder / "Test/Here"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part")
    part.write_bytes(one + one + f"\n<HERE>{-hours}\n".encode())
    part.rename(path)


def upgrade_outside_of_windows(fleet, zones, hour):
    """The window is the morning of a clock by which it is noon or later now: an upgrade waits."""
    write_zone(zones, -hour % 24 - 12)
    fleet.start(env={"TZDIR": str(zones)})
    fleet.edit(POLICY, "batch: 2",
               'batch: 2, windows: [{from: "00:00", to: "12:00", zone: Test/Here}]')
    fleet.push("In the morning")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the rollout to wait", lambda: [
        record["state"] for record in fleet.rollouts(commit)] == ["waiting"])
    return commit


def test_outside_of_its_windows_a_stage_waits(idle_fleet):
    fleet = idle_fleet
    zones = fleet.folder / "zones"
    hour = time.gmtime().tm_hour
    commit = upgrade_outside_of_windows(fleet, zones, hour)
    assert fleet.rollout(commit)["waits_for"] == "the next window of production"
    fleet.service.kill()
    fleet.start(env={"TZDIR": str(zones)})
    assert {each.client for each in fleet.activations(commit=commit)} == {"alpha"}
    # the same clock twelve hours on: the window opens, without anybody asking
    write_zone(zones, -hour % 24)
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["waiting", "succeeded"]


def test_now_with_a_reason_does_not_wait_for_the_window(idle_fleet):
    fleet = idle_fleet
    commit = upgrade_outside_of_windows(fleet, fleet.folder / "zones", time.gmtime().tm_hour)
    record = fleet.rollout(commit)
    opens = datetime.datetime.fromisoformat(str(record["window_opens"]).replace("Z", "+00:00"))
    ahead = opens - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(0) < ahead <= datetime.timedelta(hours=12)
    rollout = record["id"]
    status = fleet.command("status").stdout
    assert "which opens 20" in status and f"aviary approve {rollout} --now --reason" in status
    without = fleet.command("approve", rollout, "--reason", "urgent")
    assert without.returncode == 1 and "--now does not wait" in without.stderr
    assert fleet.command("approve", rollout, "--now").returncode == 2
    assert fleet.command("approve", rollout, "--now", "--reason", "urgent").returncode == 0
    fleet.wait_for("the end", lambda: fleet.ends(commit) == ["waiting", "succeeded"])
    (fact,) = [fact for fact in fleet.history() if fact.subject.startswith("approve(")]
    assert fact.subject == f"approve({rollout}): production, outside of its windows"
    assert (fact.approved_by, fact.reason) == (getpass.getuser(), "urgent")
    (approval,) = fleet.rollout(commit)["approvals"]
    assert approval["now"] is True and approval["what"] == "production"


def send_away(fleet, client):
    root = fleet.root(client)
    root.rename(root.with_name(f"{client}.away"))
    root.write_text("no folder: a host that cannot be reached\n")


def bring_back(fleet, client):
    fleet.root(client).unlink()
    fleet.root(client).with_name(f"{client}.away").rename(fleet.root(client))


def test_a_host_that_is_away_is_brought_up_to_date_when_it_is_back(fleet):
    fleet.edit(POLICY, "batch: 2", "batch: 2, max_unreachable: 1")
    fleet.push("One may be away")
    fleet.settle()
    send_away(fleet, "gamma")
    commit = fleet.upgrade("1.0.1")

    def states():
        return [record["state"] for record in fleet.rollouts(commit)]

    fleet.wait_for("a second rollout that waits", lambda: states() == ["succeeded", "waiting"])
    first, second = fleet.rollouts(commit)
    assert first["stages"][1]["clients"]["gamma"]["state"] == "skipped"
    assert fleet.record("gamma")["release"] != fleet.record("delta")["release"]
    assert f"deploy/{first['id']}" not in fleet.tags()
    assert second["waits_for"] == "unreachable hosts: gamma"
    assert [stage["state"] for stage in second["stages"]] == ["skipped", "waiting"]
    # each attempt within driver.retries is told
    attempts = [fact for fact in fleet.facts(commit) if "attempt" in fact.subject]
    assert {fact.client for fact in attempts} == {"gamma"} and len(attempts) == 4
    fleet.service.kill()
    fleet.start()
    bring_back(fleet, "gamma")
    fleet.settle()
    assert states() == ["succeeded", "succeeded"]
    assert fleet.results(commit)["gamma"] == ["skipped", "succeeded"]
    assert f"deploy/{second['id']}" in fleet.tags()
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}


def test_a_newer_commit_does_not_wait_for_a_host_that_is_away(fleet):
    send_away(fleet, "alpha")
    first = fleet.upgrade("1.0.1")
    fleet.wait_for("the rollout to wait", lambda: [
        record["state"] for record in fleet.rollouts(first)] == ["waiting"])
    bring_back(fleet, "alpha")
    second = fleet.upgrade("1.0.2")
    fleet.settle()
    # the host may have answered before the newer commit was seen
    assert fleet.rollouts(second)[-1]["state"] == "succeeded"
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.2")
