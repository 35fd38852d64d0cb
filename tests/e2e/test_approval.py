"""Stages that wait for a person, and the tags by which people of the infra repository answer."""

import shutil

from tests.e2e.test_signed import BOB, EVA, ask_for_eva, serve, sign_with
from tests.lib.fleet import APPS, INVENTORY, POLICY, WITH_API
from tests.lib.gitserver import git

import pytest


def ask_in_production(fleet, extra=""):
    fleet.edit(POLICY, "group: production,", f"group: production, approval: manual{extra},")


def wait_for_question(fleet, commit, what="approval of production"):
    def asks():
        found = fleet.rollouts(commit)
        return found and found[-1]["state"] == "waiting" and found[-1]
    record = fleet.wait_for("the question", asks)
    assert record["waits_for"] == what
    assert record["waits_since"]
    return record


def push_tag(fleet, rollout, *options, target="HEAD"):
    name = f"approve/{rollout}"
    git(fleet.work, "tag", "-f", *options, name, target)
    git(fleet.work, "push", "-q", "-f", "origin", f"refs/tags/{name}")
    status, _ = fleet.service.deliver(fleet.payload("0" * 40, fleet.head(), f"refs/tags/{name}"))
    assert status == 202


def wait_for_look(fleet):
    looks = fleet.service.api("status")["looks"]
    fleet.service.deliver(fleet.payload("0" * 40, fleet.head()))
    fleet.wait_for("another look", lambda: fleet.service.api("status")["looks"] > looks)


@pytest.fixture(name="asking")
def make_asking(fleet):
    """A fleet in which production waits, and the commit and rollout for which it does."""
    ask_in_production(fleet)
    fleet.push("Ask before production")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    return fleet, commit, wait_for_question(fleet, commit)["id"]


def test_production_waits_for_a_tag_also_on_a_new_machine(asking):
    fleet, commit, rollout = asking
    assert {each.client for each in fleet.activations(commit=commit)} == {"alpha"}
    assert fleet.results(commit) == {"alpha": ["succeeded"]}
    assert f"rollout({rollout}): waiting for approval of production" in fleet.subjects()
    assert "Waiting for approval of production, since" in fleet.command("status").stdout
    stages = fleet.service.api("status")["rollout"]["stages"]
    assert [stage["state"] for stage in stages] == ["succeeded", "waiting"]
    fleet.service.kill()
    shutil.rmtree(fleet.state)
    fleet.state.mkdir(mode=0o700)
    tip = fleet.tip()
    fleet.start()
    wait_for_look(fleet)
    assert [fact.subject.split("(")[0] for fact in fleet.history(tip)] == ["leader"]
    assert fleet.rollout(commit)["state"] == "waiting"
    push_tag(fleet, rollout, "-m", "Canary looks good")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.ends(commit) == ["waiting", "succeeded"]
    (fact,) = [fact for fact in fleet.facts(commit) if fact.subject.startswith("approve(")]
    assert fact.subject == f"approve({rollout}): production"
    assert fact.approved_by == "Eva <eva@example.org>" and fact.reason == "Canary looks good"
    (approval,) = fleet.rollout(commit)["approvals"]
    assert approval["what"] == "production" and approval["by"] == "Eva <eva@example.org>"
    assert "waits_for" not in fleet.rollout(commit)
    assert [each.client for each in fleet.activations(commit=commit)][0] == "alpha"
    assert len(fleet.activations(commit=commit)) == len(WITH_API)


def test_a_tag_answers_one_question_only(fleet):
    ask_in_production(fleet)
    fleet.edit(POLICY, "group: canary,", "group: canary, approval: manual,")
    fleet.push("Ask twice")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    rollout = wait_for_question(fleet, commit, "approval of canary")["id"]
    assert not fleet.activations(commit=commit)
    push_tag(fleet, rollout, "-m", "go")
    fleet.wait_for("the second question", lambda:
                   fleet.rollout(commit).get("waits_for") == "approval of production")
    wait_for_look(fleet)
    assert fleet.rollout(commit)["state"] == "waiting"
    push_tag(fleet, rollout, "-m", "go on")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert [each["what"] for each in fleet.rollout(commit)["approvals"]] == [
        "canary", "production"]


def test_tags_that_do_not_count(asking):
    fleet, commit, rollout = asking
    plan = fleet.rollout(commit)["plan"]

    def does_not_count(words):
        fleet.wait_for("the reason", lambda: words in fleet.service.log())
        assert fleet.rollout(commit)["state"] == "waiting"

    push_tag(fleet, rollout)
    does_not_count("no annotated tag")
    push_tag(fleet, rollout, "-m", "I mean p-00000000")
    does_not_count(f"names another plan than {plan}")
    git(fleet.work, "tag", "-m", "go", "approve/other")
    push_tag(fleet, rollout, target="approve/other")
    does_not_count("it was made as 'approve/other'")
    push_tag(fleet, rollout, "-m", f"I mean {plan}")
    fleet.settle()
    assert fleet.ends(commit) == ["waiting", "succeeded"]


def test_only_a_listed_signer_approves(idle_fleet):
    fleet = ask_for_eva(idle_fleet)
    ask_in_production(fleet)
    fleet.push("Ask before production", webhook=False)
    serve(fleet)
    commit = fleet.upgrade("1.0.1")
    rollout = wait_for_question(fleet, commit)["id"]
    push_tag(fleet, rollout, "--no-sign", "-m", "go")
    fleet.wait_for("the reason", lambda: "it is not signed" in fleet.service.log())
    sign_with(fleet, fleet.bob)
    push_tag(fleet, rollout, "-s", "-m", "go, says Bob")
    fleet.wait_for("the reason", lambda: fleet.service.log().count("approval does not count") == 2)
    assert fleet.rollout(commit)["state"] == "waiting"
    sign_with(fleet, fleet.eva)
    push_tag(fleet, rollout, "-s", "-m", "go, says Eva")
    fleet.settle()
    (approval,) = fleet.rollout(commit)["approvals"]
    assert approval["by"] == EVA and approval["reason"] == "go, says Eva"
    assert BOB not in str(fleet.rollout(commit))
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_nobody_answers_in_time(fleet):
    ask_in_production(fleet, ", approval_expires: 2s")
    fleet.push("Ask before production")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the end", lambda: fleet.ends(commit) == ["waiting", "aborted"])
    fleet.settle()
    record = fleet.rollout(commit)
    assert record["reasons"] == ["approval of production expired: nobody answered within 2s"]
    assert [stage["state"] for stage in record["stages"]] == ["succeeded", "aborted"]
    assert {each.client for each in fleet.activations(commit=commit)} == {"alpha"}
    # held: neither a webhook nor a restart tries it again
    wait_for_look(fleet)
    fleet.service.stop()
    fleet.start().settle()
    assert fleet.ends(commit) == ["waiting", "aborted"]
    assert fleet.command("apply").returncode == 1


def test_any_commit_that_changes_a_client_takes_over_from_one_that_waits(asking):
    fleet, commit, _ = asking
    fleet.edit(INVENTORY, "epsilon.example.org", "epsilon.example.net")
    second = fleet.push("Another domain for epsilon")
    wait_for_question(fleet, second)
    assert fleet.ends(commit) == ["waiting", "superseded"]


def test_a_commit_that_is_refused_or_changes_nobody_lets_it_wait_on(asking):
    fleet, commit, rollout = asking
    fleet.edit(APPS, "{{#apps.web}}", "{{#apps.web}}{{mistake}}")
    bad = fleet.push("A mistake")
    fleet.wait_for("the refusal", lambda: fleet.ends(bad) == ["refused"])
    fleet.revert(bad)
    wait_for_look(fleet)
    assert fleet.rollout(commit)["state"] == "waiting"
    push_tag(fleet, rollout, "-m", "go")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert fleet.rollout(commit)["notes"][0] == f"commit {bad[:7]} is refused: the rollout goes on"


def test_apply_says_that_it_waits(asking):
    fleet, commit, rollout = asking
    fleet.service.stop()
    done = fleet.command("apply")
    assert done.returncode == 4, done.stdout + done.stderr
    assert fleet.rollout(commit)["state"] == "waiting"
    git(fleet.work, "tag", "-m", "go", f"approve/{rollout}")
    git(fleet.work, "push", "-q", "origin", f"approve/{rollout}")
    assert fleet.command("apply").returncode == 0
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}


def test_a_commit_over_max_changed_waits(fleet):
    fleet.edit(POLICY, "verify:", "policy: {max_changed: 50%}\nverify:")
    fleet.push("A limit")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    words = ("approval: 4 of 5 recorded clients would change or vanish: "
             "policy.max_changed is 50%")
    rollout = wait_for_question(fleet, commit, words)["id"]
    assert not fleet.activations(commit=commit)
    push_tag(fleet, rollout, "-m", "All of them, really")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert f"approve({rollout}): max_changed" in fleet.subjects()
    assert fleet.versions() == dict.fromkeys(WITH_API, "1.0.1")
