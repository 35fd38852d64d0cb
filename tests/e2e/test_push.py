"""Pushes to the status branch that do not go through: lost races, hooks that decline, a remote that
may only be read, and a branch that somebody deleted, shortened or rewrote.
"""

import subprocess
import threading

import pytest

from tests.lib.faulty import ENVIRONMENT, Site, final_results, scratch_folder, wait_until
from tests.lib.gitserver import HttpsServer

BRANCH = "refs/heads/deployments"
UP = "web 1.0.0 -> 2.0.0"


@pytest.fixture(name="folder", scope="module")
def make_folder():
    with scratch_folder("push") as folder:
        yield folder


@pytest.fixture(name="ready", scope="module")
def make_ready(folder):
    return Site.make_ready(folder / "ready")


@pytest.fixture(name="site")
def copy_ready(ready, request):
    with ready.copy_for(request) as site:
        yield site


def push_as_somebody(site, path, change, fair=False):
    """Commit change(text of the file) onto the status branch, as another writer would: by
    compare-and-swap, again until it wins. Returns the commit."""
    index = {**ENVIRONMENT, "GIT_INDEX_FILE": str(site.bare / f"i-{threading.get_ident()}")}

    def run(*arguments, check=True, **options):
        return subprocess.run(["git", "-C", str(site.bare), *arguments], env=index, check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    while True:
        tip = run("rev-parse", BRANCH).stdout.decode().strip()
        before = run("show", f"{tip}:{path}", check=False).stdout
        run("read-tree", tip)
        blob = run("hash-object", "-w", "--stdin", input=change(before)).stdout.decode().strip()
        run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        tree = run("write-tree").stdout.decode().strip()
        mine = run("commit-tree", "-p", tip, "-m", f"Note in {path}", tree).stdout.decode().strip()
        # as fast as can be while the service waits in a gate, else as slow as the service itself
        win = ["push", "-q", ".", f"{mine}:{BRANCH}"] if fair else ["update-ref", BRANCH, mine, tip]
        if run(*win, check=False).returncode == 0:
            return mine


def assert_good_end(site, commit, version="2.0.0"):
    """Everyone got the version by one activation and one final record."""
    assert site.ends_of(commit)[-1] == "succeeded"
    finals = {key: value for key, value in final_results(site.facts()).items()
              if commit.startswith(key[0].rsplit("-", 1)[1])}
    assert [value for value in finals.values() if value != ["succeeded"]] == []
    assert sorted(client for _, client in finals) == ["alpha", "beta", "gamma"]
    for client in ("alpha", "beta", "gamma"):
        begins = [entry for entry in site.diary(client) if entry[:2] == ("begin", version)]
        assert len(begins) == 1, (client, begins, site.log_text())
        assert site.host_state(client)["phase"] == "active"


# ---- races ----------------------------------------------------------------------------------

@pytest.mark.parametrize("subject", [f"deploy(alpha): {UP}: started", "rollout: stage canary baking",
                                     "rollout: stage canary succeeded", "rollout: succeeded"])
def test_a_branch_that_somebody_moved_gets_our_commits_on_top(site, subject):
    site.arm(f"before:{subject}")
    with site.serve() as service:
        commit = site.commit("2.0.0")
        site.wait_gate(service)
        theirs = push_as_somebody(site, "notes/eva.txt", lambda _: b"looked at it\n")
        site.leave()
        site.wait_ended(commit, service=service)
    assert theirs in [fact.id for fact in site.facts()]
    assert site.record("notes/eva.txt") == "looked at it"
    assert "deciding again" not in site.log_text()
    assert_good_end(site, commit)
    assert len(site.ends_of(commit)) == 1


@pytest.mark.parametrize("subject", [f"deploy(alpha): {UP}: started",
                                     "rollout: stage canary succeeded", "rollout: succeeded"])
def test_records_that_somebody_changed_are_decided_again(site, subject):
    site.arm(f"before:{subject}")
    with site.serve() as service:
        commit = site.commit("2.0.0")
        site.wait_gate(service)
        client = "beta" if subject == "rollout: succeeded" else "alpha"
        theirs = push_as_somebody(site, f"clients/{client}.yaml", lambda text: text + b"note: mine\n")
        site.leave()
        site.wait_ended(commit, service=service)
    assert theirs in [fact.id for fact in site.facts()]
    assert "deciding again" in site.log_text()
    assert_good_end(site, commit)


def test_three_writers_that_hammer_the_branch_lose_nothing(site):
    done = threading.Event()
    theirs = [[] for _ in range(3)]

    def hammer(number):  # no longer than it takes to lose a dozen times: the service may be slow
        while not done.is_set() and len(theirs[number]) < 40:
            theirs[number].append(push_as_somebody(
                site, f"notes/{number}.txt", lambda text: text + b"again\n", fair=True))
    writers = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
    with site.serve() as service:
        for writer in writers:
            writer.start()
        commit = site.commit("2.0.0")
        try:
            site.wait_ended(commit, service=service)
        finally:
            done.set()
            for writer in writers:
                writer.join()
    there = {fact.id for fact in site.facts()}
    for number, mine in enumerate(theirs):
        assert mine and set(mine) <= there
        assert site.record(f"notes/{number}.txt").count("again") == len(mine)
    assert_good_end(site, commit)


# ---- no ---------------------------------------------------------------------------------------

def assert_nothing_touched(site, version="2.0.0"):
    assert not [entry for client in ("alpha", "beta", "gamma") for entry in site.diary(client)
                if entry[1] == version]


def test_a_declined_push_is_shown_and_tried_again(site):
    text = "deployments are frozen until Monday, ask Eva"
    site.decline(text)
    with site.serve() as service:
        service.wait_problem(text)
        commit = site.commit("2.0.0")
        service.looked()
        status, output = site.aviary("status", "-c", str(site.config))
        assert text in output, (status, output)
        assert_nothing_touched(site)
        site.decline(None)
        site.wait_ended(commit, service=service)
        service.wait_status("no problem", lambda now: now and not now["problem"])
    assert_good_end(site, commit)


def test_a_push_that_is_declined_in_the_middle_of_a_rollout_stops_it_there(site):
    site.arm("check:alpha:2.0.0")
    with site.serve() as service:
        commit = site.commit("2.0.0")
        site.wait_gate(service)
        site.decline("no more today")
        site.leave()
        service.wait_problem("no more today")
        service.looked()
        assert not site.diary("beta")[2:]
        site.decline(None)
        site.wait_ended(commit, service=service)
    assert_good_end(site, commit)


def test_apply_says_why_a_push_was_declined_and_touches_nothing(site):
    commit = site.commit("2.0.0")
    site.decline("no deployments today")
    status, output = site.apply()
    assert status == 1
    assert "no deployments today" in output
    assert_nothing_touched(site)
    site.decline(None)
    assert site.apply()[0] == 0
    assert_good_end(site, commit)


def test_a_remote_that_may_only_be_read_is_named(site, tmp_path):
    with HttpsServer(tmp_path, site.folder, tls=False) as server:
        site.url = server.url("infra.git")
        site.git("config", "http.receivepack", "false")
        with site.serve() as service:
            commit = site.commit("2.0.0")
            problem = service.wait_problem("403")
            assert_nothing_touched(site)
            site.git("config", "http.receivepack", "true")
            site.wait_ended(commit, service=service)
    assert "may this token write to the repository?" in problem
    assert_good_end(site, commit)


# ---- a history that lost commits ------------------------------------------------------------

def delete(site):
    site.git("update-ref", "-d", BRANCH)


def shorten(site):
    site.git("update-ref", BRANCH, f"{site.tip()}~3")


def rewrite(site):
    tip = site.tip()
    made = site.git("commit-tree", "-p", f"{tip}~1", "-m", "Something else", f"{tip}^{{tree}}")
    site.git("update-ref", BRANCH, made)


LOSSES = {"deleted": (delete, "is missing"), "shortened": (shorten, "is shorter"),
          "rewritten": (rewrite, "was rewritten")}


def assert_stops(site, service, words):
    """Not ready, with the reason and the way out; a new commit touches nobody."""
    service.wait_problem(words)
    tip = site.tip()
    commit = site.commit("2.0.0")
    service.looked()
    status, body = service.request("GET", "/readyz")
    assert status == 503
    assert words in body
    output = site.aviary("status", "-c", str(site.config))[1]
    assert words in output and "--accept-history" in output
    assert_nothing_touched(site)
    assert site.tip() == tip
    return commit


def assert_goes_on(site, commit):
    status, output = site.apply("--accept-history")
    assert status == 0, output
    assert_good_end(site, commit)
    with site.serve() as service:
        last = site.commit("2.1.0")
        site.wait_ended(last, service=service)
        assert service.request("GET", "/readyz")[0] == 200
    assert_good_end(site, last, "2.1.0")


@pytest.mark.parametrize("loss", LOSSES)
def test_a_branch_that_lost_commits_while_running_stops_the_service(site, loss):
    damage, words = LOSSES[loss]
    with site.serve() as service:
        service.wait_status("rest", lambda now: now.get("ready") and now["idle"])
        damage(site)
        commit = assert_stops(site, service, words)
        assert service.stop() == 0
    assert_goes_on(site, commit)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_branch_that_lost_commits_while_stopped_stops_the_service(site, loss):
    damage, words = LOSSES[loss]
    damage(site)
    with site.serve() as service:
        commit = assert_stops(site, service, words)
    assert_goes_on(site, commit)


def test_a_branch_that_comes_back_ends_the_stop(site):
    with site.serve() as service:
        service.wait_status("rest", lambda now: now.get("ready") and now["idle"])
        tip = site.tip()
        delete(site)
        commit = assert_stops(site, service, "is missing")
        site.git("update-ref", BRANCH, tip)
        site.wait_ended(commit, service=service)
        wait_until("ready", lambda: service.request("GET", "/readyz")[0] == 200)
    assert_good_end(site, commit)


def test_a_deleted_branch_and_a_lost_state_folder_are_found_by_what_the_hosts_say(site):
    delete(site)
    site.forget_state()
    with site.serve() as service:
        commit = assert_stops(site, service, "alpha")
    assert_goes_on(site, commit)


def test_a_shortened_branch_and_a_lost_state_folder_are_found_by_what_the_hosts_say(site):
    site.git("update-ref", BRANCH, site.git("rev-list", "--max-parents=0", BRANCH))
    site.forget_state()
    with site.serve() as service:
        commit = assert_stops(site, service, "alpha")
    assert_goes_on(site, commit)
