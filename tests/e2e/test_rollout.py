"""Rollouts with the real service: what is touched, in which order, and what is recorded of it."""

import re

from tests.lib.fleet import APPS, CLIENTS, INVENTORY, POLICY, VARIABLES, WITH_API, WITH_WEB
from tests.lib.gitserver import git


def touched(fleet, commit=None):
    return {each.client for each in fleet.activations(commit=commit)}


def states(fleet):
    """What the hosts say, to see that nobody was touched."""
    return {client: (fleet.root(client) / ".aviary/state").read_bytes() for client in CLIENTS}


def most_at_once(fleet, clients):
    """The largest number of clients whose activation ran at the same time."""
    running = most = 0
    for each in fleet.activations(""):
        if each.client in clients:
            running += 1 if each.what == "start" else -1
            most = max(most, running)
    return most


def set_policy(fleet, old, new):
    """A commit of its own, since the stricter of old and new holds for the commit that changes it."""
    fleet.edit(POLICY, old, new)
    commit = fleet.push("Policy")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]


def stage_state(fleet, name):
    rollout = fleet.service.api("status")["rollout"]
    return next(stage["state"] for stage in rollout["stages"] if stage["name"] == name)


# ---- onboarding and upgrades -----------------------------------------------------------------


def test_the_first_commit_onboards_everyone_canary_first(fresh_fleet):
    fleet = fresh_fleet
    commit = fleet.head()
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in CLIENTS}
    assert fleet.ends(commit) == ["succeeded"]
    assert {each.action for each in fleet.activations()} == {"onboard"}
    assert fleet.activations()[0].client == "alpha"
    # nothing was known good before
    assert sorted(fleet.tags()) == [f"deploy/{fleet.rollout(commit)['id']}"]
    for client in CLIENTS:
        record, state = fleet.record(client), fleet.state_of(client)
        assert record["state"] == "healthy" and record["known_good"]["commit"] == commit
        assert record["release"] == record["known_good"]["release"] == state["release"]
        assert state["phase"] == "active" and state["rollout"] == record["rollout"]


def test_a_first_onboarding_that_fails_stays_as_it_is_and_is_held(fresh_fleet):
    fleet = fresh_fleet
    fleet.sick("alpha", "api:1.0.0")
    commit = fleet.head()
    fleet.start().settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert fleet.ends(commit) == ["failed"]
    assert touched(fleet) == {"alpha"}
    assert fleet.tags() == {}
    assert fleet.record("alpha")["state"] == "failed"
    assert fleet.record("alpha")["held"]["commit"] == commit
    fleet.sick("alpha")
    fleet.edit("templates/env.mustache", "DOMAIN=", "HOST=")  # all clients: the rest stays held
    commit = fleet.push("Fix")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in CLIENTS}


def test_an_upgrade_goes_to_the_canary_then_to_production_in_waves(fleet):
    for client in ("beta", "delta"):
        fleet.hold_back(client)
    commit = fleet.upgrade("1.0.1")
    for client in ("beta", "delta"):
        fleet.wait_for_activation(client, commit)
    assert touched(fleet) == {"alpha", "beta", "delta"}
    assert fleet.results(commit) == {"alpha": ["succeeded"]}  # its whole stage ended before
    fleet.let_go("beta")
    fleet.wait_for_activation("beta", commit, what="end")
    fleet.let_go("delta")
    fleet.settle()
    order = [(each.what, each.client) for each in fleet.activations("")]
    assert order[:2] == [("start", "alpha"), ("end", "alpha")]
    assert {client for _, client in order[2:6]} == {"beta", "delta"}
    assert order[6:] == [("start", "gamma"), ("end", "gamma")]
    assert most_at_once(fleet, WITH_API) == 2
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
    assert {each.commit for each in fleet.activations()} == {commit}


def test_a_wave_in_percent_is_rounded_down(fleet):
    fleet.edit(POLICY, "batch: 2", "batch: 60%")  # of three: one
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert most_at_once(fleet, WITH_API) == 1


def test_only_clients_whose_release_changes_are_contacted(fleet):
    commit = fleet.upgrade("2.0.1", app="web")
    fleet.settle()
    assert touched(fleet) == set(WITH_WEB)
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_WEB}


def test_activate_learns_what_it_is_run_for(fleet):
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    rollout = fleet.rollout(commit)["id"]
    for each in fleet.activations():
        stage = "canary" if each.client == "alpha" else "production"
        assert (each.action, each.stage, each.rollout) == ("upgrade", stage, rollout)
        assert each.release == fleet.record(each.client)["release"]
        assert each.folder == str(fleet.root(each.client) / "current") or each.folder == str(
            (fleet.root(each.client) / "current").resolve())


# ---- failures --------------------------------------------------------------------------------


def assert_canary_was_rolled_back(fleet, first, commit, before):
    """Alpha went to the commit and back; nobody else noticed."""
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert fleet.ends(commit) == ["failed"]
    assert [(each.client, each.action) for each in fleet.activations()] == [
        ("alpha", "upgrade"), ("alpha", "rollback")]
    after = states(fleet)
    assert {client for client in CLIENTS if before[client] != after[client]} == {"alpha"}
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.0")
    record = fleet.record("alpha")
    assert record["state"] == "rolled-back" and record["held"]["commit"] == commit
    assert record["release"] == record["known_good"]["release"] == fleet.state_of(
        "alpha")["release"]
    rollout = fleet.rollout(commit)
    assert [stage["state"] for stage in rollout["stages"]] == ["failed", "skipped"]
    assert {member["state"] for member in rollout["stages"][1]["clients"].values()} == {"skipped"}
    assert fleet.tags()[f"rollback/alpha/{rollout['id']}"] == ("tag", first)
    assert f"deploy/{rollout['id']}" not in fleet.tags()


def test_a_canary_whose_checks_fail_goes_back_and_production_is_not_touched(fleet):
    first, before = fleet.head(), states(fleet)
    fleet.sick("all", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert_canary_was_rolled_back(fleet, first, commit, before)
    (last,) = [fact for fact in fleet.facts(commit) if fact.result == "rolled-back"]
    assert "alpha is sick" in last.reason


def test_a_canary_whose_http_check_fails_goes_back(fleet):
    fleet.checks.sick.add("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the way back", lambda: len(fleet.activations()) == 2)
    fleet.checks.sick.clear()
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    assert "web" in fleet.record("alpha")["held"]["reason"]


def test_good_rounds_count_only_in_a_row(fleet):
    fleet.edit(POLICY, "healthy: 1", "healthy: 2")
    fleet.checks.flapping.add("alpha")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the way back", lambda: len(fleet.activations()) == 2)
    assert fleet.checks.asked.count("alpha") >= 4  # every second one was good
    fleet.checks.reset()
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}


def test_a_canary_whose_activation_fails_goes_back(fleet):
    first, before = fleet.head(), states(fleet)
    fleet.script("alpha", 'if grep -q api:1.0.1 compose.yaml; then echo no disk; exit 3; fi\n')
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert_canary_was_rolled_back(fleet, first, commit, before)
    assert "no disk" in fleet.record("alpha")["held"]["reason"]


def test_an_activation_that_hangs_is_ended_and_the_client_goes_back(fleet):
    first, before = fleet.head(), states(fleet)
    fleet.script("alpha", 'if grep -q api:1.0.1 compose.yaml; then sleep 1000; fi\n')
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 1s")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert_canary_was_rolled_back(fleet, first, commit, before)


def test_a_rollback_that_fails_too_ends_failed(fleet):
    fleet.script("alpha", "exit 1\n")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert fleet.ends(commit) == ["failed"]
    assert touched(fleet) == {"alpha"}
    assert fleet.record("alpha")["state"] == "failed"
    assert "rollback failed" in fleet.record("alpha")["held"]["reason"]


def test_a_rollback_whose_release_is_sick_too_ends_failed(fleet):
    fleet.sick("alpha", "api:")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert [each.action for each in fleet.activations()] == ["upgrade", "rollback"]
    assert fleet.results(commit) == {"alpha": ["failed"]}


def test_with_on_failure_hold_nobody_goes_back(fleet):
    set_policy(fleet, "verify:", "on_failure: hold\nverify:")
    fleet.sick("alpha", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert [(each.client, each.action) for each in fleet.activations()] == [("alpha", "upgrade")]
    assert fleet.results(commit) == {"alpha": ["failed"]}
    assert fleet.runs("alpha", "api:1.0.1")
    assert fleet.record("alpha")["release"] == fleet.state_of("alpha")["release"]


def test_a_client_that_fails_during_the_bake_goes_back(fleet):
    first, before = fleet.head(), states(fleet)
    fleet.edit(POLICY, "bake: 200ms", "bake: 1h")
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the bake", lambda: stage_state(fleet, "canary") == "baking")
    fleet.sick("all", "api:1.0.1")
    fleet.settle()
    assert_canary_was_rolled_back(fleet, first, commit, before)


def test_a_failure_in_a_wave_stops_the_next_wave(fleet):
    fleet.sick("beta", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {
        "alpha": ["succeeded"], "beta": ["rolled-back"], "delta": ["succeeded"]}
    assert touched(fleet) == {"alpha", "beta", "delta"}
    assert fleet.ends(commit) == ["failed"]
    (member,) = [stage["clients"]["gamma"] for stage in fleet.rollout(commit)["stages"]
                 if "gamma" in stage["clients"]]
    assert member["state"] == "skipped"


def test_max_failures_are_tolerated_but_the_rollout_has_failed(fleet):
    set_policy(fleet, "batch: 2", "batch: 1, max_failures: 1")
    fleet.sick("beta", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {
        "alpha": ["succeeded"], "beta": ["rolled-back"], "delta": ["succeeded"],
        "gamma": ["succeeded"]}
    assert fleet.ends(commit) == ["failed"]
    assert fleet.versions() == {
        "alpha": "1.0.1", "beta": "1.0.0", "delta": "1.0.1", "gamma": "1.0.1"}


def test_a_looser_policy_does_not_hold_for_the_commit_that_brings_it(fleet):
    fleet.edit(POLICY, "batch: 2", "batch: 1, max_failures: 1")
    fleet.sick("beta", "api:1.0.1")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["succeeded"], "beta": ["rolled-back"]}


# ---- holds, reverts, fixes -------------------------------------------------------------------


def fail_on_the_canary(fleet, version="1.0.1"):
    fleet.sick("all", f"api:{version}")
    commit = fleet.upgrade(version)
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["rolled-back"]}
    return commit


def test_a_held_commit_is_not_tried_again_by_webhook_or_restart(fleet):
    commit = fail_on_the_canary(fleet)
    fleet.sick("all")  # it would work now
    tip, count = fleet.tip(), len(fleet.activations())
    looks = fleet.service.api("status")["looks"]
    fleet.service.deliver(fleet.payload("0" * 40, commit))
    fleet.wait_for("another look", lambda: fleet.service.api("status")["looks"] > looks)
    fleet.settle()
    assert fleet.tip() == tip
    fleet.service.stop()
    fleet.start().settle()
    assert [subject.split("(")[0] for subject in fleet.subjects(since=tip)] == ["leader"]
    assert len(fleet.activations()) == count


def test_the_revert_of_a_bad_upgrade_ends_the_hold_and_moves_nobody(fleet):
    commit = fail_on_the_canary(fleet)
    tip, before, count = fleet.tip(), states(fleet), len(fleet.activations())
    revert = fleet.revert(commit)
    fleet.settle()
    assert fleet.subjects(since=tip) == ["hold(alpha): ended"]
    assert fleet.results(revert) == {}
    assert states(fleet) == before and len(fleet.activations()) == count
    assert fleet.record("alpha")["state"] == "healthy" and "held" not in fleet.record("alpha")
    assert fleet.service.api("status")["held"] == []


def test_a_fix_ends_the_hold_and_is_rolled_out_to_all(fleet):
    fail_on_the_canary(fleet)
    commit = fleet.upgrade("1.0.2")
    fleet.settle()
    assert "hold(alpha): ended" in fleet.subjects()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert "held" not in fleet.record("alpha")


def test_a_commit_about_others_leaves_the_canary_held_and_starts_nobody(fleet):
    fail_on_the_canary(fleet)
    fleet.sick("all")
    tip, count = fleet.tip(), len(fleet.activations())
    fleet.edit(INVENTORY, "epsilon.example.org", "epsilon.example.net")
    commit = fleet.push("Another domain for epsilon")
    fleet.settle()
    assert fleet.results(commit) == {} and len(fleet.activations()) == count
    assert fleet.ends(commit) == ["refused"]
    reasons = " ".join(fleet.rollout(commit)["reasons"])
    assert "alpha" in reasons
    assert not any(subject.startswith("hold") for subject in fleet.subjects(since=tip))


def test_the_revert_of_a_good_upgrade_is_a_rollback_canary_first(fleet):
    first = fleet.record("alpha")["release"]
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    revert = fleet.revert(commit)
    fleet.settle()
    mine = fleet.activations(commit=revert)
    assert {each.action for each in mine} == {"rollback"}
    assert mine[0].client == "alpha" and {each.client for each in mine} == set(WITH_API)
    assert fleet.results(revert) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.0")
    record = fleet.record("alpha")
    assert record["release"] == first and record["known_good"]["commit"] == revert


def test_an_unproved_release_is_verified_and_baked_without_a_new_activation(fleet):
    fleet.edit(POLICY, "bake: 200ms", "bake: 1h")
    fleet.upgrade("1.0.1")
    fleet.wait_for("the bake", lambda: stage_state(fleet, "canary") == "baking")
    fleet.edit(POLICY, "bake: 1h", "bake: 200ms")
    fleet.edit(INVENTORY, "gamma.example.org", "gamma.example.net")  # cuts the bake short
    commit = fleet.push("Gamma moves")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert touched(fleet, commit) == {"beta", "gamma", "delta"}
    assert [each.client for each in fleet.activations()].count("alpha") == 1
    record = fleet.record("alpha")
    assert record["known_good"]["release"] == record["release"]


# ---- clients that come, go and move ----------------------------------------------------------


def test_a_client_that_vanished_is_reported_and_never_touched(fleet):
    before, tip = states(fleet), fleet.tip()
    fleet.remove_client("gamma")
    commit = fleet.push("Without gamma")
    fleet.settle()
    assert fleet.activations() == [] and states(fleet) == before
    assert fleet.results(commit) == {}
    assert fleet.tip() == tip  # it changes no client
    assert fleet.service.api("status")["vanished"] == ["gamma"]
    assert "Vanished gamma" in fleet.command("status").stdout
    assert re.search(r"vanished.*client=gamma", fleet.service.log())
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {c: ["succeeded"] for c in WITH_API if c != "gamma"}
    assert states(fleet)["gamma"] == before["gamma"]


def test_a_client_that_comes_back_is_upgraded_from_what_it_runs(fleet):
    fleet.remove_client("gamma")
    commit = fleet.push("Without gamma")
    fleet.upgrade("1.0.1")
    fleet.settle()
    git(fleet.work, "revert", "--no-edit", commit)
    back = fleet.send()
    fleet.settle()
    assert [(each.client, each.action) for each in fleet.activations(commit=back)] == [
        ("gamma", "upgrade")]
    assert fleet.results(back) == {"gamma": ["succeeded"]}


def test_a_new_client_is_onboarded_alone(fleet):
    fleet.add_client("zeta")
    commit = fleet.push("Zeta comes")
    fleet.settle()
    assert fleet.results(commit) == {"zeta": ["succeeded"]}
    assert [(each.client, each.action) for each in fleet.activations()] == [("zeta", "onboard")]
    assert [stage["state"] for stage in fleet.rollout(commit)["stages"]] == [
        "skipped", "succeeded"]
    assert (fleet.root("zeta") / "current/.env").stat().st_mode & 0o777 == 0o600


def test_a_client_that_moves_between_stages_is_not_touched_for_that(fleet):
    tip = fleet.tip()
    text = fleet.read(INVENTORY)
    beta = text[text.index("        beta:"):text.index("        gamma:")]
    text = text.replace(beta, "").replace("    production:\n", beta + "    production:\n")
    fleet.write(INVENTORY, text)
    fleet.push("Beta is a canary")
    fleet.settle()
    assert fleet.tip() == tip and fleet.activations() == []
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert {each.client for each in fleet.activations()[:2]} == {"alpha", "beta"}
    assert fleet.record("beta")["stage"] == "canary"
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_who_was_canary_still_is_in_the_rollout_that_moves_it(fleet):
    text = fleet.read(INVENTORY)
    alpha = text[text.index("        alpha:"):text.index("    production:")]
    beta = text[text.index("        beta:"):text.index("        gamma:")]
    text = text.replace(alpha, "@").replace(beta, alpha).replace("@", beta)
    fleet.write(INVENTORY, text)
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    canary = fleet.rollout(commit)["stages"][0]
    assert set(canary["clients"]) == {"alpha", "beta"}
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


# ---- commits that change little --------------------------------------------------------------


def test_a_commit_that_changes_no_client_leaves_the_status_branch_untouched(fleet):
    tip = fleet.tip()
    fleet.write("README.md", "words\n")
    fleet.edit(APPS, "services:", "services:  # all of them")
    fleet.edit(APPS, "services:  # all of them", "services:")
    fleet.push("Words")
    fleet.settle()
    assert fleet.tip() == tip and fleet.activations() == []


def test_a_change_of_the_policy_alone_is_a_rollout_without_clients(fleet):
    fleet.edit(POLICY, "interval: 100ms", "interval: 150ms")
    commit = fleet.push("More patience")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"] and fleet.results(commit) == {}
    rollout = fleet.rollout(commit)
    assert not any(stage.get("clients") for stage in rollout["stages"])
    assert fleet.tags()[f"deploy/{rollout['id']}"] == ("tag", commit)
    assert fleet.activations() == []


def test_a_new_secret_value_changes_only_its_client(fleet):
    fleet.write_secrets("clients/delta", database_password="new-password-of-delta")
    fleet.sick("all")
    commit = fleet.push("Another password")
    fleet.settle()
    assert fleet.results(commit) == {"delta": ["succeeded"]}
    assert "DATABASE_PASSWORD=new-password-of-delta" in (
        fleet.root("delta") / "current/.env").read_text()
    reasons = fleet.rollout(commit)["stages"][1]["clients"]["delta"]["reasons"]
    assert reasons == ["secret database_password changed (secrets/clients/delta.sops.yaml)"]


def test_a_file_that_is_only_encrypted_again_changes_nobody(fleet):
    tip = fleet.tip()
    for client in CLIENTS:
        fleet.write_secrets(f"clients/{client}", database_password=f"own-password-of-{client}")
    fleet.write_secrets("shared", mail_password="shared-mail-password")
    fleet.push("Encrypted again")
    fleet.settle()
    assert fleet.tip() == tip and fleet.activations() == []


def test_a_variable_nobody_reads_changes_nobody(fleet):
    tip = fleet.tip()
    fleet.write(VARIABLES, fleet.read(VARIABLES) + "nobody_reads: this\n")
    fleet.push("A variable")
    fleet.settle()
    assert fleet.tip() == tip


def test_old_releases_are_deleted_but_not_the_known_good(fleet):
    for number in range(1, 6):
        fleet.upgrade(f"1.0.{number}")
        fleet.settle()
    kept = {path.name for path in (fleet.root("alpha") / "releases").iterdir()}
    good = fleet.record("alpha")["known_good"]["release"].removeprefix("sha256:")[:16]
    assert good in kept and 2 <= len(kept) <= 4
