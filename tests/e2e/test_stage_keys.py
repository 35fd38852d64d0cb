"""Keys of a stage that say how many at once, when, and what becomes of hosts that are away."""

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
