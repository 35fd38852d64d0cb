"""`make demo`: two copies at once, one of them kept, so that its history can be read.

What each act did is taken from git (commits of the status branch and tags) and from the clients,
not from what the demo prints.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AVIARY = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
DEMO = ROOT / "examples/demo.py"
CLIENTS = ["alpha", "beta", "delta", "epsilon", "gamma"]
WITH_NEXTCLOUD = ["alpha", "beta", "delta", "gamma"]
FINAL = ("succeeded", "failed", "rolled-back", "skipped", "superseded")
TIMEOUT_S = 600  # sanitizers on a busy machine; it takes half a minute

# First 8 digits of the SHA-256 of each client's secrets, as `sops decrypt` of sops 3.13.3 has them.
FINGERPRINTS = {
    "alpha": {"smtp_password": "572e6fd4", "database_password": "051b9309",
              "nextcloud_admin_password": "a11c2c37", "zitadel_masterkey": "56704930"},
    "beta": {"smtp_password": "572e6fd4", "database_password": "3c7999d1",
             "nextcloud_admin_password": "df23232c", "zitadel_masterkey": "0fdd5040"},
    "delta": {"smtp_password": "572e6fd4", "database_password": "85b06d54",
              "nextcloud_admin_password": "11cf9861", "zitadel_masterkey": "5c395f03"},
    "epsilon": {"smtp_password": "572e6fd4", "database_password": "88286c28"},
    "gamma": {"smtp_password": "572e6fd4", "database_password": "3e1df56f",
              "nextcloud_admin_password": "72830aba", "zitadel_masterkey": "de4e705b"},
}


def heed_interrupts():
    """A script's `make test &` ignores them, and what ignores them hands that down."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(folder, *arguments):
    return subprocess.Popen([sys.executable, str(DEMO), *arguments], cwd=folder,
                            env=dict(os.environ, TMPDIR=str(folder)), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            preexec_fn=heed_interrupts)


def finish(process):
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.terminate()  # it clears away
        output, _ = process.communicate()
    return process.returncode, output


@pytest.fixture(name="scratch", scope="module")
def make_scratch():
    """Not below pytest's folder: the service's socket has a path of at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="aviary-test-demo-"))
    yield folder
    shutil.rmtree(folder)


def processes_below(folder):
    """Command lines that name the folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text)
    return found


@pytest.fixture(name="copies", scope="module")
def play_both(scratch):
    """(scratch folder, exit status, output) of a plain run and of one with --keep."""
    folders = {name: scratch / name for name in ("plain", "kept")}
    for folder in folders.values():
        folder.mkdir()
    plain = start(folders["plain"], "--aviary", AVIARY)
    kept = start(folders["kept"], "--aviary", AVIARY, "--keep")
    yield {"plain": (folders["plain"], *finish(plain)), "kept": (folders["kept"], *finish(kept))}
    for left in folders["kept"].glob("aviary-demo-*"):
        finish(start(folders["kept"], "--stop", str(left)))


@pytest.fixture(name="kept", scope="module")
def kept_folder(copies):
    """Folder of the run whose service is still there."""
    folder, status, output = copies["kept"]
    assert status == 0, output
    (left,) = folder.glob("aviary-demo-*")
    return left


# ---- the history -----------------------------------------------------------------------------


def git(kept, *arguments):
    return subprocess.run(["git", "-C", str(kept / "forge/demo/infra.git"), *arguments],
                          stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


class Fact:
    """A commit of the status branch."""

    def __init__(self, text):
        self.subject, _, trailers = text.partition("\n")
        pairs = [line.split(": ", 1) for line in trailers.splitlines() if ": " in line]
        self.trailers = dict(pairs)

    def __getattr__(self, name):
        return self.trailers.get(name.replace("_", "-").title(), "")

    def __repr__(self):
        return f"<{self.subject} {self.trailers}>"


@pytest.fixture(name="facts", scope="module")
def read_facts(kept):
    text = git(kept, "log", "--reverse", "--format=%s%n%(trailers:unfold,only)%x00", "deployments")
    return [Fact(part.strip("\n")) for part in text.split("\0") if part.strip("\n")]


@pytest.fixture(name="source", scope="module")
def read_source(kept):
    """Commits of main by what they are."""
    ids = git(kept, "rev-list", "--reverse", "main").split()
    names = ["first", "upgrade", "bad", "bad-reverted", "upgrade-reverted"]
    assert len(ids) == len(names)
    return dict(zip(names, ids))


def of_commit(facts, commit):
    return [fact for fact in facts if fact.source_commit == commit]


def results(facts):
    """{client: its final results}"""
    found = {}
    for fact in facts:
        if fact.client and fact.result in FINAL:
            found.setdefault(fact.client, []).append(fact.result)
    return found


def assert_canary_first(facts):
    """The canary's verdict, which comes after its bake, precedes the first intent of production."""
    verdict = next(i for i, fact in enumerate(facts)
                   if fact.client == "alpha" and fact.result in FINAL)
    first = next(i for i, fact in enumerate(facts)
                 if fact.stage == "production" and fact.client)
    assert verdict < first


def rollout_ends(facts):
    """[(source commit, state)] of rollouts, in order."""
    return [(fact.source_commit, fact.subject.rsplit(" ", 1)[1]) for fact in facts
            if re.fullmatch(r"rollout\([^)]*\): (succeeded|failed|refused|superseded|aborted)",
                            fact.subject)]


def test_the_onboarding_brings_up_everyone_canary_first(facts, source):
    mine = of_commit(facts, source["first"])
    assert results(mine) == {client: ["succeeded"] for client in CLIENTS}
    assert {fact.action for fact in mine if fact.client} == {"onboard"}
    assert not any(fact.rollback_tag for fact in mine)
    assert_canary_first(mine)


def test_the_upgrade_goes_to_the_canary_then_to_production_and_not_to_epsilon(facts, source):
    mine = of_commit(facts, source["upgrade"])
    assert results(mine) == {client: ["succeeded"] for client in WITH_NEXTCLOUD}
    assert {fact.action for fact in mine if fact.client} == {"upgrade"}
    assert "deploy(alpha): nextcloud 28.0.1 -> 28.0.2: started" in [f.subject for f in mine]
    assert not any(fact.client == "epsilon" for fact in mine)
    assert_canary_first(mine)


def test_the_bad_upgrade_is_rolled_back_on_the_canary_and_production_is_not_touched(facts, source):
    mine = [fact for fact in of_commit(facts, source["bad"])
            if fact.rollout and not fact.subject.startswith("hold")]
    assert results(mine) == {"alpha": ["rolled-back"]}
    assert {fact.client for fact in mine if fact.client} == {"alpha"}


def test_the_failed_commit_is_held_and_its_revert_ends_the_hold(facts):
    holds = [fact.subject for fact in facts if fact.subject.startswith("hold(alpha): ")]
    assert len(holds) == 2
    assert holds[1] == "hold(alpha): ended"


def test_the_revert_of_the_bad_upgrade_moves_nobody(facts, source):
    moved = [fact for fact in of_commit(facts, source["bad-reverted"])
             if fact.client and not fact.subject.startswith("hold")]
    assert moved == []


def test_the_revert_of_the_upgrade_is_a_rollback_canary_first(facts, source):
    mine = of_commit(facts, source["upgrade-reverted"])
    assert results(mine) == {client: ["succeeded"] for client in WITH_NEXTCLOUD}
    assert {fact.action for fact in mine if fact.client} == {"rollback"}
    assert_canary_first(mine)


def test_the_rollouts_ended_in_this_order(facts, source):
    ends = [end for end in rollout_ends(facts) if end[0] != source["bad-reverted"]]
    assert ends == [(source["first"], "succeeded"), (source["upgrade"], "succeeded"),
                    (source["bad"], "failed"), (source["upgrade-reverted"], "succeeded")]


def test_each_intent_precedes_its_verdict_and_each_verdict_has_an_intent(facts):
    started = set()
    for fact in facts:
        key = (fact.rollout, fact.client)
        if fact.client and fact.result == "started":
            assert key not in started, fact
            started.add(key)
        elif fact.client and fact.result in FINAL:
            assert key in started, fact


def test_tags_stand_on_the_commits_that_they_name(kept, facts, source):
    lines = git(kept, "for-each-ref", "--format=%(refname:short) %(objecttype) %(*objectname)",
                "refs/tags").splitlines()
    tags = {name: (kind, target) for name, kind, target in (line.split() for line in lines)}
    assert {kind for kind, _ in tags.values()} == {"tag"}
    deploy = sorted(target for name, (_, target) in tags.items() if name.startswith("deploy/"))
    assert deploy == sorted(source[name] for name in ("first", "upgrade", "upgrade-reverted"))
    # before each upgrade and rollback, on what was known good then
    bad = [fact for fact in of_commit(facts, source["bad"]) if fact.rollback_tag]
    assert tags[bad[0].rollback_tag] == ("tag", source["upgrade"])
    back = [name for name in tags if name.startswith("rollback/")]
    assert len(back) == len(WITH_NEXTCLOUD) * 2 + 1
    assert not any(name.startswith("rollback/epsilon/") for name in back)


# ---- the clients -----------------------------------------------------------------------------


def told_by(kept, client):
    env = (kept / f"clients/{client}/current/.env").read_text()
    port = re.search(r"^HTTP_PORT=(\d+)$", env, re.M).group(1)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/status", timeout=30) as reply:
        return json.load(reply)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_got_its_own_secrets(kept, client):
    assert told_by(kept, client)["secrets"] == FINGERPRINTS[client]


@pytest.mark.parametrize("client", WITH_NEXTCLOUD)
def test_the_client_runs_the_first_release_again(kept, client):
    assert told_by(kept, client)["apps"]["nextcloud"] == "28.0.1"


def test_no_secret_is_in_a_commit_a_log_or_the_state(kept):
    """What the clients got, looked for everywhere but in their folders."""
    values = set()
    for env in kept.glob("clients/*/current/.env"):
        values |= set(re.findall(r"^\w+(?:PASSWORD|MASTERKEY)=(.+)$", env.read_text(), re.M))
    assert len(values) == 14
    places = {"objects": git_objects(kept), "log": (kept / "aviary.log").read_bytes()}
    for file in kept.glob("state/**/*"):
        if file.is_file():
            places[str(file)] = file.read_bytes()
    leaks = [(name, value) for name, text in places.items() for value in values
             if value.encode() in text]
    assert leaks == []


def git_objects(kept):
    bare = kept / "forge/demo/infra.git"
    return subprocess.run(["git", "-C", str(bare), "cat-file", "--batch-all-objects", "--batch"],
                          stdout=subprocess.PIPE, check=True, timeout=60).stdout


# ---- the example -----------------------------------------------------------------------------


def test_the_example_is_valid_without_a_warning():
    done = subprocess.run([AVIARY, "validate", "--json", str(ROOT / "examples/infra-repo")],
                          stdout=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"errors": [], "warnings": []})


# ---- the demo itself -------------------------------------------------------------------------


def test_it_shows_six_acts_in_order(copies):
    _, status, output = copies["plain"]
    assert status == 0, output
    assert re.findall(r"^(\d)\. ", output, re.M) == list("123456"), output
    assert "\033" not in output  # plain where there is no terminal


def test_it_leaves_nothing_behind(copies):
    folder, _, output = copies["plain"]
    assert list(folder.iterdir()) == [], output
    assert processes_below(folder) == []


def test_the_commands_that_keep_proposes_exist(copies, kept):
    lines = re.findall(rf"^  ({re.escape(str(Path(AVIARY).resolve()))} .+)$", copies["kept"][2], re.M)
    assert [line.split()[1] for line in lines] == ["status", "history", "plan"]
    subprocess.run(["git", "-C", str(kept / "infra"), "fetch", "-q"], check=True, timeout=60)
    for line in lines:
        folder = kept / "infra" if line.endswith(" plan") else kept
        done = subprocess.run(shlex.split(line), cwd=folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
        assert done.stdout


def test_what_keep_left_takes_another_push_and_ends_by_stop(copies, kept):
    work = kept / "infra"
    (work / "README.md").write_text("changed\n")
    subprocess.run(["git", "-C", str(work), "commit", "-qam", "Only words"], check=True)
    push = subprocess.run(["git", "-C", str(work), "push"], stderr=subprocess.PIPE, text=True,
                          check=True, timeout=60)
    assert "signed: 202" in push.stderr
    folder = copies["kept"][0]
    status, output = finish(start(folder, "--stop", str(kept)))
    assert status == 0, output
    assert list(folder.iterdir()) == []
    assert processes_below(folder) == []


def test_ctrl_c_in_the_middle_leaves_nothing_behind(scratch):
    folder = scratch / "stopped"
    folder.mkdir()
    process = start(folder, "--aviary", AVIARY)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(r"alpha +(deploying|verifying|healthy)", line):
            break
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    assert status == 130, "".join(lines) + output
    assert list(folder.iterdir()) == []
    assert processes_below(folder) == []


def test_a_service_that_does_not_start_is_told_with_its_log(scratch):
    folder = scratch / "broken"
    folder.mkdir()
    program = folder / "aviary"
    program.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    program.chmod(0o755)
    status, output = finish(start(folder, "--aviary", str(program)))
    assert status == 1
    assert "no such luck" in output
    assert "ended with status 3" in output
    assert list(folder.iterdir()) == [program]
