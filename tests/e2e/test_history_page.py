"""Every command of docs/history.md, run in a clone of a status branch that a real service wrote: it
must answer the question, not only end well."""

import re
import subprocess

import pytest

from tests.e2e.test_docs import ROOT
from tests.e2e.test_history import live
from tests.lib.fleet import AVIARY, CLIENTS, INVENTORY, POLICY, WITH_API, Fleet, environment, tell
from tests.lib.gitserver import git

PAGE = (ROOT / "docs/history.md").read_text(encoding="utf-8")
QUESTIONS = {title: re.findall(r"^ {4}(.+)$", text, re.M)
             for title, text in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.M)}


class World:
    """A clone, and what the service did."""

    def __init__(self, fleet, commits, clone):
        self.fleet, self.commits, self.clone = fleet, commits, clone
        self.bad = fleet.rollout(commits["bad"])["id"]
        git(".", "init", "-q", "-b", "main", clone)
        git(clone, "remote", "add", "origin", fleet.bare)
        (self.fetch,) = re.findall(r"^ {4}(git fetch .*)$", PAGE.split("\n## ")[0], re.M)
        self.run(self.fetch)

    def run(self, command):
        """Output of a command of the page, with its examples replaced by what there is."""
        for old, new in (("nextcloud", "api"), ("20261124-101542-9f2c41d", self.bad),
                         ("9f2c41d", self.commits["bad"]), ("2026-11-24 12:00", "now")):
            command = command.replace(old, new)
        command = re.sub(r"^aviary\b", AVIARY, command)
        done = subprocess.run(["bash", "-c", command], cwd=self.clone, env=environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                              check=False)
        assert done.returncode == 0 and not done.stderr, (command, done)
        return done.stdout

    def answer(self, title):
        return [self.run(command) for command in QUESTIONS[title]]

    def subjects(self, wanted):
        return [fact.subject for fact in self.fleet.history()[::-1] if wanted(fact)]


def approve_a_change_of_epsilon(fleet):
    """Whose host was changed by hand meanwhile."""
    fleet.edit(POLICY, "batch: 2", "batch: 2, approval: manual")
    fleet.edit(INVENTORY, "epsilon.example.org", "epsilon.example.net")
    (fleet.root("epsilon") / "current").unlink()
    commit = fleet.rewrite("Another domain")
    fleet.wait_for("the question", lambda: fleet.ends(commit) == ["waiting"])
    fleet.command("approve", fleet.rollout(commit)["id"], "--reason", "looks good", check=True)
    fleet.settle()


@pytest.fixture(name="world", scope="module")
def make_world(fleets, checks, tmp_path_factory):
    fleet = Fleet(fleets / "page", checks).make()
    try:
        commits = live(fleet)
        approve_a_change_of_epsilon(fleet)
        fleet.service.stop()
        yield World(fleet, commits, tmp_path_factory.mktemp("page") / "clone")
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.close()


def shown(text, wanted):
    """The lines that end in these subjects are exactly those, in order."""
    lines = [line for line in text.splitlines() if line and not line.startswith("    ")]
    assert len(lines) == len(wanted), text
    for line, subject in zip(lines, wanted):
        assert line.endswith(subject), (line, subject)


def who_runs_what(world, text):
    for client in CLIENTS:
        record = world.fleet.record(client)
        version = f"  api: {record['apps']['api']}\n" if client in WITH_API else ""
        assert re.search(rf"client: {client}\nstate: healthy\nrelease: {record['release']}\n", text)
        assert version in text


def one_client(world, text, why):
    assert why.startswith("alpha   healthy   canary   api 1.0.0, web 2.0.0   since ")
    assert "Runs its known good release, of commit " in why
    assert why.count("Author: Eva") > 3 and "deploy(alpha): " in why
    shown(text, world.subjects(lambda fact: fact.client == "alpha"))


def a_commit(world, text):
    shown(text, world.subjects(lambda fact: fact.source_commit == world.commits["bad"])[::-1])


def a_rollout(world, log, record, story):
    assert "The same decisions again" in story and "beta: checks are bad" in story
    shown(log, world.subjects(lambda fact: fact.rollout == world.bad))
    assert f"id: {world.bad}\n" in record and "state: failed\n" in record


def how_long(world, text):
    wanted = world.subjects(lambda fact: fact.action == "upgrade" and fact.result == "succeeded")
    assert wanted
    shown(text, wanted)
    assert all(re.match(r"\d+[hms]", line) for line in text.splitlines())


def what_failed(world, text):
    shown(text, world.subjects(lambda fact: fact.client and fact.result in ("failed", "rolled-back")))
    assert "beta is sick" in text and "rollback(beta)" in text


def what_was_refused(world, text):
    shown(text, world.subjects(lambda fact: fact.result == "refused"))
    assert "verfy" in text


def what_is_held(world, now, ever):
    assert now == "nothing is held\n"
    shown(ever, world.subjects(lambda fact: fact.result == "held"))
    assert "hold(beta)" in ever and "beta is sick" in ever


def whose_change(world, text):
    wanted = world.subjects(lambda fact: fact.client == "alpha" and fact.result == "started")
    shown(text, [f"{subject}  by Eva" for subject in wanted])


def who_approved(world, text):
    (fact,) = [each for each in world.fleet.history() if each.approved_by]
    assert text.endswith(f"  {fact.subject}  by {fact.approved_by}: looks good\n")
    assert text.count("\n") == 1 and fact.subject.startswith("approve(")


def by_force(world, text):
    (forced,) = [each for each in world.fleet.rollouts() if each.get("forced")]
    assert text.endswith(f"  rollout({forced['id']}): started  by Eva\n") and text.count("\n") == 1


def changed_by_hand(world, text):
    wanted = world.subjects(lambda fact: fact.subject.startswith("drift("))
    assert wanted
    shown(text, wanted)


def on_a_day(world, text):
    assert text == world.fleet.show("clients/alpha.yaml") + "\n"


def goes_back_to(world, text):
    good = world.fleet.record("alpha")["known_good"]
    assert text.startswith("known_good:\n") and f"  commit: {good['commit']}\n" in text


def rollback_tags(world, text):
    tags = {name: target for name, (_, target) in world.fleet.tags().items()
            if name.startswith("rollback/")}
    found = dict(line.split()[:2] for line in text.splitlines())
    assert found.keys() == tags.keys()
    assert all(tags[name].startswith(short) for name, short in found.items())


def deployed(world, text):
    assert [line.split("  ")[0] for line in text.splitlines()] and set(
        line.split("  ")[0] for line in text.splitlines()) == {
            name for name in world.fleet.tags() if name.startswith("deploy/")}
    assert "api 1.0.1" in text


def who_led(world, text):
    shown(text, world.subjects(lambda fact: fact.subject.startswith("leader(")))


def what_else(world, text):
    assert text.splitlines() == [f"{key}: {value}" for key, value in world.fleet.history()[-1].pairs]


def whole(world, *texts):
    for text in texts:
        count = len(world.fleet.history())
        assert text.startswith(f"Unbroken: {count} commits, {count} facts")


ANSWERS = {
    "Who runs what?": who_runs_what,
    "What happened to one client?": one_client,
    "What did a commit do?": a_commit,
    "How did a rollout go?": a_rollout,
    "How long do upgrades take?": how_long,
    "What failed last month, and why?": what_failed,
    "What was refused?": what_was_refused,
    "What is held?": what_is_held,
    "Whose change was it?": whose_change,
    "What came by a forced push?": by_force,
    "Who approved?": who_approved,
    "Which hosts were changed by hand?": changed_by_hand,
    "What ran on a day?": on_a_day,
    "Where would a client go back to?": goes_back_to,
    "Which rollback tags exist?": rollback_tags,
    "Which commits were deployed everywhere?": deployed,
    "Which service led, and when?": who_led,
    "What else does a commit tell?": what_else,
}


@pytest.mark.parametrize("title", ANSWERS)
def test_the_command_answers_the_question(world, title):
    ANSWERS[title](world, *world.answer(title))


def test_verify_finds_the_history_whole(world):
    first = QUESTIONS["Is it the whole history, and nobody else's?"][0]
    whole(world, world.run(first))


def test_no_question_of_the_page_is_without_a_test():
    assert QUESTIONS.keys() == {*ANSWERS, "Is it the whole history, and nobody else's?"}
    assert len(ANSWERS) >= 10 and all(QUESTIONS.values())
