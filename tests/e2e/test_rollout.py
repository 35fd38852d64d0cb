"""Rollouts with the real service: onboarding, upgrades, rollbacks, holds."""

from tests.lib.fleet import CLIENTS, WITH_API


def test_the_first_commit_onboards_everyone_canary_first(fresh_fleet):
    fleet = fresh_fleet
    commit = fleet.head()
    fleet.start().settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in CLIENTS}
    assert fleet.ends(commit) == ["succeeded"]
    assert {each.action for each in fleet.activations()} == {"onboard"}
    assert fleet.activations()[0].client == "alpha"
    assert sorted(fleet.tags()) == [f"deploy/{fleet.rollout(commit)['id']}"]


def test_an_upgrade_goes_to_the_canary_then_to_production(fleet):
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
