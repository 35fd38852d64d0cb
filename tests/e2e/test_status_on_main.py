"""`status.branch` that is the tracked branch itself: records under status/, commits with [skip ci]."""

import json

from tests.lib.fleet import git


def ours(fleet, since):
    text = git(fleet.bare, "log", "--format=%an%x09%s%x09%b%x00", f"{since}..main")
    return [part.strip().split("\t") for part in text.split("\0") if part.strip()]


def test_records_stand_beside_what_people_commit(fresh_fleet):
    fleet = fresh_fleet
    fleet.configure(**{"branch: deployments": "branch: main"})
    before = git(fleet.bare, "rev-parse", "main")

    first = fleet.command("apply", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1])["result"] == "succeeded"
    facts = ours(fleet, before)
    assert facts and all(author == "Aviary" and "[skip ci]" in body for author, _, body in facts)
    changed = git(fleet.bare, "diff", "--name-only", before, "main").splitlines()
    assert changed and all(path.startswith("status/") for path in changed)
    assert "status/README.md" in changed and "status/leader.yaml" in changed

    tip = git(fleet.bare, "rev-parse", "main")
    again = fleet.command("apply", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["result"] == "unchanged", again.stdout
    assert git(fleet.bare, "rev-parse", "main") == tip, "it reacted to its own commits"

    git(fleet.work, "pull", "-q", "--rebase", "origin", "main")
    fleet.upgrade("1.1", webhook=False)
    person = git(fleet.work, "rev-parse", "HEAD")
    upgraded = fleet.command("apply", "--json")
    assert upgraded.returncode == 0, upgraded.stderr
    sources = {line.split(": ")[1] for _, _, body in ours(fleet, person)
               for line in body.splitlines() if line.startswith("Source-Commit: ")}
    assert sources == {person}

    whole = fleet.command("history", "--verify", "--json")
    found = json.loads(whole.stdout)
    assert whole.returncode == 0 and found["unbroken"], whole.stdout
    assert found["facts"] == len(facts) + len(ours(fleet, person)) < found["commits"]
    (fleet.work / "status/leader.yaml").write_text("epoch: 7\n")
    git(fleet.work, "pull", "-q", "--rebase", "--autostash", "origin", "main")
    fleet.commit("Somebody leads")
    git(fleet.work, "push", "-q", "origin", "main")
    git(fleet.work, "fetch", "-q")
    foreign = fleet.in_clone("history", "--verify", "--branch", "main")
    assert foreign.returncode == 1 and "is no fact of Aviary's" in foreign.stdout
