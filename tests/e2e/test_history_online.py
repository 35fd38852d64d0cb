"""`aviary explain` and `aviary replay` say the same over the socket, with --url, and from the branch
without a service; the API's history and events are those of the branch.
"""

import json

import pytest

from tests.lib.fleet import CLIENTS, git


@pytest.fixture(name="eventful")
def make_eventful(fleet):
    """An upgrade, one that is rolled back, a pause."""
    good = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.sick("alpha", "api:1.0.2")
    bad = fleet.upgrade("1.0.2")
    fleet.settle()
    done = fleet.command("pause", "beta", "--reason", "a \"demo\", with é")
    assert done.returncode == 0, done.stderr
    return fleet, [fleet.rollout(commit)["id"] for commit in (good, bad)]


def questions(rollouts):
    for rollout in rollouts:
        yield "replay", rollout
        yield "replay", rollout, "--json"
    for client in CLIENTS:
        for arguments in ((), ("--all",), ("--json",), ("--all", "--json")):
            yield "explain", client, *arguments


def answers(fleet, rollouts, *where):
    """{question: (status, output)}"""
    found = {}
    for name, *arguments in questions(rollouts):
        done = (fleet.in_clone(name, *arguments, *where) if where
                else fleet.command(name, *arguments))
        found[name, *arguments] = done.returncode, done.stdout
        assert not done.stderr
    return found


def test_the_words_are_the_same_from_everywhere(eventful):
    fleet, rollouts = eventful
    token = str(fleet.folder / "keys/api-token")
    by_socket = answers(fleet, rollouts)
    by_url = answers(fleet, rollouts, "--url", fleet.service.url, "--token-file", token)
    fleet.service.stop()
    by_mirror = answers(fleet, rollouts)
    git(fleet.work, "fetch", "-q", "origin")
    by_clone = answers(fleet, rollouts, "--branch", "deployments")
    assert by_socket == by_url == by_mirror == by_clone
    assert {status for status, _ in by_socket.values()} == {0}
    assert "a \"demo\", with é" in by_socket["explain", "beta"][1]


def test_the_socket_is_really_asked(eventful):
    """Where the mirror is out of reach."""
    fleet, rollouts = eventful
    mirror = fleet.state / "mirror.git"
    before = fleet.command("explain", "alpha").stdout
    away = mirror.with_name("away.git")
    mirror.rename(away)
    try:
        done = fleet.command("explain", "alpha")
        assert done.returncode != 0 and "was not fetched yet" in done.stderr
    finally:
        away.rename(mirror)
    assert fleet.command("explain", "alpha").stdout == before
    assert fleet.command("replay", rollouts[0]).returncode == 0


def test_the_api_tells_the_branch(eventful):
    fleet, rollouts = eventful
    for client in ("alpha", "beta"):
        mine = [fact for fact in fleet.history() if fact.client == client][::-1]
        found = fleet.service.api(f"clients/{client}/history?all=1")
        assert [each["commit"] for each in found["commits"]] == [fact.id for fact in mine]
        for each, fact in zip(found["commits"], mine):
            assert each["subject"] == fact.subject
            assert [(pair["key"], pair["value"]) for pair in each["trailers"]] == fact.pairs
        assert fleet.service.api(f"clients/{client}/history")["commits"] == found["commits"][:20]
        assert "cut" not in found
    for rollout in rollouts:
        mine = [fact.id for fact in fleet.history() if fact.rollout == rollout][::-1]
        found = fleet.service.api(f"rollouts/{rollout}/history")["commits"]
        assert [each["commit"] for each in found] == mine
        status, body = fleet.service.ask(f"/api/v1/rollouts/{rollout}/events")
        assert (status, body.decode()) == (200, fleet.show(f"events/{rollout}.jsonl") + "\n")


def test_what_is_not_there_is_named(eventful):
    fleet, _ = eventful
    url = ("--url", fleet.service.url, "--token-file", str(fleet.folder / "keys/api-token"))
    for where in (url, ("-c", str(fleet.service.config))):
        done = fleet.in_clone("explain", "nobody", *where)
        assert done.returncode == 1 and "no client 'nobody'" in done.stderr
        done = fleet.in_clone("replay", "20200101-000000-1234567", *where)
        assert done.returncode == 1 and "no events of rollout '20200101" in done.stderr
        done = fleet.in_clone("replay", "../clients/alpha", *where)
        assert done.returncode == 1 and "no events of rollout" in done.stderr
    done = fleet.in_clone("explain", "alpha", "--url", fleet.service.url)
    assert done.returncode != 0 and "token" in done.stderr
    for name in ("explain", "replay"):
        done = fleet.in_clone(name, "alpha", "--url", "http://127.0.0.1:1")
        assert done.returncode == 3 and "no service answers" in done.stderr
        assert fleet.in_clone(name, "alpha", *url, "--branch", "x").returncode == 2
    for path in ("clients/alpha/history", "rollouts/x/history", "rollouts/x/events"):
        status, body = fleet.service.ask(f"/api/v1/{path}", token=None)
        assert status == 401 and "error" in json.loads(body)
    assert fleet.service.api("clients/nobody/history") == {"commits": []}
