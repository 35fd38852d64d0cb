"""`aviary history --verify`: a branch as the service wrote it is whole; whatever somebody else does to
it is found, named with its commit, and explained. One eventful fleet, written unsigned first, then
signed; each test forges a clone of its own."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.lib.fleet import AVIARY, Fleet, environment, tell
from tests.lib.gitserver import git

BRANCH = "refs/remotes/origin/deployments"
AUTHOR = "Aviary <aviary@example.org>"


def make_key(folder, name):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f",
                    folder / "keys" / name], check=True, stdin=subprocess.DEVNULL)
    public = (folder / "keys" / f"{name}.pub").read_text().strip()
    return f'{name}@example.org namespaces="git" {public}\n'


def live(fleet):
    """Two good rollouts and a bad one without signatures, then one with."""
    fleet.start().settle()
    for arguments in (["pause", "gamma", "--reason", "a demo"], ["resume", "gamma"],
                      ["pause", "--reason", "Christmas"], ["resume"]):
        done = fleet.command(*arguments)
        assert done.returncode == 0, done.stderr
    fleet.edit("fleet.yaml", "interval: 100ms", "interval: 110ms")
    fleet.push("A rollout without clients")
    fleet.settle()
    fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.sick("alpha", "api:1.0.2")
    bad = fleet.upgrade("1.0.2")
    fleet.settle()
    fleet.service.stop()
    fleet.plain = fleet.tip()
    fleet.bad = fleet.rollout(bad)["id"]
    if not shutil.which("ssh-keygen"):
        return
    fleet.trusted = fleet.folder / "trusted"
    fleet.trusted.write_text(make_key(fleet.folder, "aviary"))
    make_key(fleet.folder, "mallory")
    fleet.configure(**{'author: "Aviary <aviary@example.org>"':
                       'author: "Aviary <aviary@example.org>", '
                       f'signing_key_file: "{fleet.folder}/keys/aviary"'})
    fleet.start()
    fleet.upgrade("1.0.3")
    fleet.settle()
    fleet.service.stop()


@pytest.fixture(name="fleet", scope="module")
def make_fleet(fleets, checks):
    fleet = Fleet(fleets / "verify", checks).make()
    try:
        live(fleet)
        yield fleet
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.close()


class Clone:
    """A clone whose origin/deployments the tests write as they like."""

    def __init__(self, fleet, folder, tip):
        self.fleet, self.folder = fleet, folder
        git(".", "clone", "-q", fleet.bare, folder)
        git(folder, "fetch", "-q", "origin", "refs/tags/*:refs/tags/*")
        self.set(tip)
        if tip == fleet.plain:  # the tags of what came later are not its own
            known = {fact.rollout for fact in fleet.history() if fact.rollout} & set(
                re.findall(r"Rollout: (\S+)", self.git("log", "--format=%B", tip)))
            for tag in self.git("tag", "-l").splitlines():
                if tag.split("/")[-1] not in known:
                    self.git("tag", "-d", tag)

    def git(self, *arguments, **options):
        return git(self.folder, *arguments, **options)

    def set(self, commit):
        self.git("update-ref", BRANCH, commit)

    def tip(self):
        return self.git("rev-parse", BRANCH)

    def find(self, pattern):
        """The only commit with such a subject."""
        lines = self.git("log", "--format=%H %s", BRANCH).splitlines()
        (found,) = [line[:40] for line in lines if re.search(pattern, line[41:])]
        return found

    def message(self, commit):
        return self.git("log", "-1", "--format=%B", commit) + "\n"

    def tree(self, commit, **files):
        """Its tree with files changed (None: removed); `__` in a name is `/`, `_` at its end `.`."""
        index = dict(ENVIRONMENT_OF_GIT, GIT_INDEX_FILE=str(self.folder / "index.forged"))
        subprocess.run(["git", "read-tree", commit], cwd=self.folder, env=index, check=True)
        for name, text in files.items():
            path = name.replace("__", "/") + ".yaml"
            command = ["git", "update-index", "--force-remove", path]
            if text is not None:
                blob = subprocess.run(["git", "hash-object", "-w", "--stdin"], input=text.encode(),
                                      cwd=self.folder, stdout=subprocess.PIPE, check=True)
                command = ["git", "update-index", "--add", "--cacheinfo",
                           f"100644,{blob.stdout.decode().strip()},{path}"]
            subprocess.run(command, cwd=self.folder, env=index, check=True)
        done = subprocess.run(["git", "write-tree"], cwd=self.folder, env=index, check=True,
                              stdout=subprocess.PIPE)
        return done.stdout.decode().strip()

    def commit(self, message, tree, *parents, key=None):
        sign = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"] if key else []
        command = ["git", *sign, "commit-tree", tree, *(["-S"] if key else [])]
        for parent in parents:
            command += ["-p", parent]
        done = subprocess.run(command, cwd=self.folder, input=message.encode(), check=True,
                              env=ENVIRONMENT_OF_GIT, stdout=subprocess.PIPE)
        return done.stdout.decode().strip()

    def append(self, message, tree=None, key=None):
        """A commit on top of the branch."""
        self.set(self.commit(message, tree or f"{BRANCH}^{{tree}}", self.tip(), key=key))

    def rewrite(self, change):
        """Every commit again: change(id, message) -> message, or None to leave it out."""
        parents = []
        for old in self.git("rev-list", "--reverse", BRANCH).splitlines():
            message = change(old, self.message(old))
            if message is not None:
                parents = [self.commit(message, f"{old}^{{tree}}", *parents)]
        self.set(parents[0])

    def verify(self, *arguments):
        done = subprocess.run([AVIARY, "history", "--verify", *map(str, arguments)],
                              cwd=self.folder, env=environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, encoding="utf-8", check=False)
        assert done.returncode in (0, 1) and not done.stderr, done
        return done

    def breaks(self, *arguments):
        """[(commit, what)] of a broken branch, oldest first; each has a meaning."""
        done = self.verify(*arguments, "--json")
        found = json.loads(done.stdout)
        assert done.returncode == 1 and not found["unbroken"] and found["breaks"]
        assert all(each["means"] and each["subject"] is not None for each in found["breaks"])
        text = self.verify(*arguments)
        assert text.returncode == 1 and text.stdout.startswith("Broken in ")
        for each in found["breaks"]:
            assert each["what"] in text.stdout and each["means"] in text.stdout
        return [(each["commit"], each["what"]) for each in found["breaks"]]


ENVIRONMENT_OF_GIT = dict(environment(), GIT_AUTHOR_NAME="Aviary",
                          GIT_AUTHOR_EMAIL="aviary@example.org", GIT_COMMITTER_NAME="Aviary",
                          GIT_COMMITTER_EMAIL="aviary@example.org",
                          PATH=os.environ.get("PATH", "/usr/bin:/bin"))


@pytest.fixture(name="clone")
def make_clone(fleet, tmp_path):
    return Clone(fleet, tmp_path / "clone", fleet.plain)


@pytest.fixture(name="signed")
def make_signed(fleet, tmp_path):
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed")
    return Clone(fleet, tmp_path / "clone", fleet.tip())


# ---- without signatures ----------------------------------------------------------------------


def test_what_the_service_wrote_is_whole(clone):
    done = clone.verify()
    count = clone.git("rev-list", "--count", BRANCH)
    assert done.returncode == 0 and done.stdout.startswith(f"Unbroken: {count} commits, {count} facts")
    assert "Signatures were not looked at" in done.stdout
    found = json.loads(clone.verify("--json").stdout)
    assert found["unbroken"] and not found["breaks"] and not found["signatures_checked"]


def test_the_mirror_of_the_service_is_whole(fleet):
    done = fleet.command("history", "--verify")
    assert done.returncode == 0, done.stdout


def test_a_message_that_was_changed_contradicts_its_record(clone):
    bad = clone.find(r"^rollback\(alpha\): api 1.0.2 -> 1.0.1$")
    clone.rewrite(lambda old, message: message.replace("Result: rolled-back", "Result: succeeded")
                  if old == bad else message)
    ((commit, what),) = clone.breaks()
    assert commit == clone.find(r"^rollback\(alpha\): api 1.0.2 -> 1.0.1$")
    assert what == "says 'succeeded', and the record 'rolled-back'"


def test_an_end_of_a_rollout_that_was_changed_contradicts_its_record(clone):
    clone.rewrite(lambda _, message: message.replace("Result: failed", "Result: superseded"))
    ((commit, what),) = clone.breaks()
    assert commit == clone.find(rf"^rollout\({clone.fleet.bad}\): failed")
    assert what == "says 'superseded', and the record 'failed'"


def test_an_intent_that_was_taken_out_is_missed(clone):
    start = clone.find(r"^deploy\(beta\): api 1.0.0 -> 1.0.1: started$")
    clone.rewrite(lambda old, message: None if old == start else message)
    breaks = clone.breaks()
    assert (clone.find(r"^deploy\(beta\): api 1.0.0 -> 1.0.1: succeeded$"),
            "ends 'succeeded' without a start") in breaks


def test_an_end_that_was_taken_out_is_missed(clone):
    end = clone.find(r"^deploy\(beta\): api 1.0.0 -> 1.0.1: succeeded$")
    clone.rewrite(lambda old, message: None if old == end else message)
    breaks = clone.breaks()
    assert (clone.find(r"^deploy\(beta\): api 1.0.0 -> 1.0.1: started$"),
            "has no end, and its rollout ended 'succeeded'") in breaks


def test_a_rollout_whose_start_was_taken_out_is_missed(clone):
    start = clone.find(rf"^rollout\({clone.fleet.bad}\): started")
    clone.rewrite(lambda old, message: None if old == start else message)
    whats = [what for _, what in clone.breaks()]
    assert "starts before its rollout has" in whats
    assert "ends 'failed' without a start" in whats


def test_a_rollout_whose_end_was_taken_out_is_missed(clone):
    first = clone.git("log", "--reverse", "--format=%s", BRANCH).splitlines()
    start = next(each for each in first if each.endswith(": started") and "rollout" in each)
    rollout = start[len("rollout("):start.index(")")]
    end = clone.find(rf"^rollout\({rollout}\): succeeded$")
    clone.rewrite(lambda old, message: None if old == end else message)
    assert any(re.match("has no end, and .* started", what) for _, what in clone.breaks())


def test_a_foreign_commit_is_named(clone):
    record = clone.git("show", f"{BRANCH}:clients/beta.yaml")
    tree = clone.tree(BRANCH, clients__beta=record.replace("healthy", "failed") + "\n")
    clone.append("Repair beta by hand\n", tree)
    breaks = clone.breaks()
    assert {commit for commit, _ in breaks} == {clone.tip()}
    assert "is no fact of Aviary's" in [what for _, what in breaks]
    assert any("clients/beta.yaml" in what for _, what in breaks)


def test_a_foreign_commit_in_the_shape_of_a_fact_has_no_start(clone):
    fact = clone.message(clone.find(r"^deploy\(beta\): api 1.0.0 -> 1.0.1: succeeded$"))
    rollout = re.search(r"Rollout: (\S+)", fact)[1]
    clone.append(fact.replace(rollout, "20270101-000000-1234567"))
    assert (clone.tip(), "ends 'succeeded' without a start") in clone.breaks()


def test_a_fact_that_writes_the_record_of_another_client_is_named(clone):
    record = clone.git("show", f"{BRANCH}:clients/gamma.yaml") + "\n"
    tree = clone.tree(BRANCH, clients__gamma=record.replace("1.0.1", "6.6.6"))
    clone.append("hold(beta): ended\n\nClient: beta\n", tree)
    assert (clone.tip(), "writes 'clients/gamma.yaml', which is the record of another client"
            ) in clone.breaks()


def test_a_record_that_was_removed_is_named(clone):
    clone.append("key(k2): digest key made\n", clone.tree(BRANCH, clients__beta=None))
    ((commit, what),) = clone.breaks()
    assert commit == clone.tip() and what.startswith("removes 'clients/beta.yaml'")


def test_a_second_end_is_one_too_many(clone):
    end = clone.find(r"^rollback\(alpha\): api 1.0.2 -> 1.0.1$")
    clone.append(clone.message(end))
    assert (clone.tip(), f"ends 'rolled-back', and {end[:7]} said 'rolled-back' already"
            ) in clone.breaks()


def test_an_epoch_that_goes_back_is_named(clone):
    leader = "instance: other\nepoch: 1\nsince: 2026-11-24T10:00:00Z\n"
    clone.append("leader(other): epoch 1\n", clone.tree(BRANCH, leader=leader))
    assert clone.breaks() == [(clone.tip(), "follows epoch 1")]


def test_a_merge_is_named(clone):
    clone.set(clone.commit("hold(beta): ended\n", f"{BRANCH}^{{tree}}", clone.tip(),
                           clone.git("rev-parse", "main")))
    assert (clone.tip(), "is a merge") in clone.breaks()


def test_a_history_that_was_replaced_is_told_by_the_tags(clone):
    root = clone.git("rev-list", "--max-parents=0", BRANCH)
    clone.set(root)
    breaks = clone.breaks()
    tags = clone.git("tag", "-l", "deploy/*", "rollback/*").splitlines()
    assert len(breaks) == len(tags) and {commit for commit, _ in breaks} == {None}
    assert all("which the branch does not know" in what for _, what in breaks)


def test_the_service_remembers_what_was_cut_off(fleet, tmp_path):
    state = tmp_path / "state"
    shutil.copytree(fleet.state, state)
    mirror = state / "mirror.git"
    config = tmp_path / "aviary.yaml"
    config.write_text(fleet.service.config.read_text().replace(f"{fleet.state}", f"{state}"))
    older = git(mirror, "rev-parse", "refs/remotes/status/deployments~2")
    seen = git(mirror, "rev-parse", "refs/remotes/status/deployments")
    git(mirror, "update-ref", "refs/remotes/status/deployments", older)
    done = subprocess.run([AVIARY, "history", "--verify", "-c", config, "--json"], check=False,
                          stdout=subprocess.PIPE, env=environment(), encoding="utf-8")
    breaks = json.loads(done.stdout)["breaks"]
    assert done.returncode == 1
    assert (seen, "is not in the history any more") in [
        (each["commit"], each["what"]) for each in breaks]


def test_a_shallow_clone_is_no_whole_history(fleet, tmp_path):
    git(".", "clone", "-q", "--depth", "3", "--no-single-branch", f"file://{fleet.bare}",
        tmp_path / "clone")
    clone = Clone.__new__(Clone)
    clone.folder = tmp_path / "clone"
    assert clone.breaks()


# ---- with signatures -------------------------------------------------------------------------


def test_signed_history_is_whole_and_the_unsigned_beginning_is_covered(signed):
    done = signed.verify("--signers", signed.fleet.trusted)
    assert done.returncode == 0, done.stdout
    assert "Signed by aviary@example.org." in done.stdout
    before = signed.git("rev-list", "--count", signed.fleet.plain)
    assert f"{before} commits are from before signing began" in done.stdout


def test_the_configured_key_is_the_one_that_counts(fleet):
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh-keygen is not installed")
    done = fleet.command("history", "--verify")
    assert done.returncode == 0 and "Signed by aviary." in done.stdout, done


def test_an_unsigned_commit_after_signed_ones_is_named(signed):
    signed.append("hold(beta): ended\n")
    assert signed.breaks("--signers", signed.fleet.trusted) == [
        (signed.tip(), "is not signed, and older commits are")]


def test_a_commit_of_another_key_is_named(signed):
    signed.append("hold(beta): ended\n", key=signed.fleet.folder / "keys/mallory")
    ((commit, what),) = signed.breaks("--signers", signed.fleet.trusted)
    assert commit == signed.tip() and re.match("is not well signed: its key .* is not listed", what)


def test_a_signed_message_that_was_changed_is_named(signed):
    """The bytes of the commit with another word, its signature left in place."""
    text = signed.git("cat-file", "commit", BRANCH) + "\n"
    assert "Result: succeeded" in text
    done = subprocess.run(["git", "hash-object", "-t", "commit", "-w", "--stdin"],
                          input=text.replace("Author: Eva", "Author: Bob").encode(),
                          cwd=signed.folder, stdout=subprocess.PIPE, check=True)
    signed.set(done.stdout.decode().strip())
    ((commit, what),) = signed.breaks("--signers", signed.fleet.trusted)
    assert commit == signed.tip()
    assert what.startswith("is not well signed: the signature does not belong")


def test_a_history_written_anew_without_the_key_is_named(signed):
    signed.rewrite(lambda _, message: message)
    ((commit, what),) = signed.breaks("--signers", signed.fleet.trusted)
    assert commit == signed.tip() and "not signed by a key of the list" in what


def test_wrong_words_are_wrong_usage(clone):
    for arguments in (["alpha"], ["--branch", "x", "-c", "y"]):
        done = subprocess.run([AVIARY, "history", "--verify", *arguments], cwd=clone.folder,
                              check=False, capture_output=True)
        assert done.returncode == 2
    done = subprocess.run([AVIARY, "history", "--signers", "x"], cwd=clone.folder, check=False,
                          capture_output=True)
    assert done.returncode == 2
    done = subprocess.run([AVIARY, "history", "--verify", "--branch", "nothing"], check=False,
                          cwd=clone.folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and "fetch the status branch" in done.stderr
