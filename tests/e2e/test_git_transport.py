"""git over SSH, HTTPS and paths: what is fetched, what is pushed, and each way to fail.

build/tests/git_tool calls git/remote.h and prints JSON; the servers are real ones.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lib import gitserver  # noqa: E402
from tests.lib.gitserver import HttpsServer, SilentServer, SshServer, git  # noqa: E402

TOOL = Path(os.environ.get("AVIARY_BUILD", ROOT / "build")) / "tests/git_tool"
NONE = ""
PROCESS_TIMEOUT_S = 120


class Remote:
    """A remote under test: how git_tool reaches it, and the repository behind it."""

    def __init__(self, url, options, bare, mirror):
        self.url, self.options, self.bare, self.mirror = url, options, bare, mirror

    def command(self, *words, options=(), mirror=None):
        return [str(word) for word in
                (TOOL, *self.options, *options, mirror or self.mirror, self.url, *words)]

    def run(self, *words, env=None, **options):
        done = subprocess.run(self.command(*words, **options), stdout=subprocess.PIPE, env=env,
                              check=True, timeout=PROCESS_TIMEOUT_S)
        return json.loads(done.stdout)

    def commit_here(self, parent, message="ours"):
        """A commit in the mirror on top of a fetched one."""
        return git(self.mirror, "commit-tree", "-p", parent, "-m", message, parent + "^{tree}")

    def tip(self, ref="refs/heads/main"):
        return git(self.bare, "rev-parse", ref)


def secret(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def ssh_options(server):
    return ("--key", server.key, "--known-hosts", server.known_hosts)


def https_options(server, token):
    return ("--token", token, "--ca", server.ca)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    with SshServer(folder) as ssh_server, \
            HttpsServer(folder, folder, password="good") as https_server:
        yield folder, ssh_server, https_server


@pytest.fixture(params=["path", "ssh", "https"])
def remote(request, servers, tmp_path):
    """The same repository behaviour is asked of all three ways to it."""
    folder, ssh_server, https_server = servers
    name = f"{request.node.name.replace('[', '-').replace(']', '')}.git"
    bare = gitserver.make_bare(folder / name)
    git(bare, "config", "http.receivepack", "true")
    url, options = {
        "path": (str(bare), ()),
        "ssh": (ssh_server.url(bare), ssh_options(ssh_server)),
        "https": (https_server.url(name),
                  https_options(https_server, secret(tmp_path / "token", "good\n"))),
    }[request.param]
    return Remote(url, options, bare, tmp_path / "mirror")


@pytest.fixture
def bare(tmp_path):
    path = gitserver.make_bare(tmp_path / "infra.git")
    git(path, "config", "http.receivepack", "true")
    return path


# ---- what works ---------------------------------------------------------------------------------

def test_list_shows_every_reference(remote):
    git(remote.bare, "tag", "-a", "-m", "one", "v1", "main")
    answer = remote.run("list")
    assert answer["ok"], answer
    assert answer["refs"] == {
        "HEAD": remote.tip(), "refs/heads/main": remote.tip(), "refs/tags/v1": remote.tip("v1")}


def test_list_of_an_empty_repository_is_empty(remote):
    git(remote.bare, "update-ref", "-d", "refs/heads/main")
    answer = remote.run("list")
    assert answer["ok"] and answer["refs"] == {}, answer


def test_fetch_brings_named_references_and_nothing_else(remote):
    for number in range(20):
        gitserver.commit_file(remote.bare, "main", f"files/{number}", os.urandom(5000))
    git(remote.bare, "branch", "other", "main")
    git(remote.bare, "tag", "-a", "-m", "one", "v1", "main")
    answer = remote.run("fetch", "origin", "refs/heads/main", "refs/tags/v1", "refs/heads/none")
    assert answer["ok"], answer
    assert answer["missing"] == ["refs/heads/none"]
    refs = git(remote.mirror, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    assert refs == [f"refs/remotes/origin/main {remote.tip()}",
                    f"refs/remotes/origin/tags/v1 {remote.tip('v1')}"]
    git(remote.mirror, "fsck", "--strict")


def test_fetch_follows_a_rewritten_branch_and_keeps_a_deleted_one(remote):
    gitserver.commit_file(remote.bare, "main", "a", b"1")
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    git(remote.bare, "update-ref", "refs/heads/main", "main~1")
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    assert git(remote.mirror, "rev-parse", "refs/remotes/origin/main") == remote.tip()
    before = remote.tip()
    git(remote.bare, "update-ref", "-d", "refs/heads/main")
    assert remote.run("fetch", "origin", "refs/heads/main")["missing"] == ["refs/heads/main"]
    assert git(remote.mirror, "rev-parse", "refs/remotes/origin/main") == before


def test_push_creates_moves_and_deletes(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    second = remote.commit_here(first)
    for name, new, old in (("refs/heads/main", second, first), ("refs/heads/new", second, NONE),
                           ("refs/heads/new", NONE, second)):
        answer = remote.run("push", name, new, old)
        assert answer["ok"], answer
        assert answer["updates"][name]["verdict"] == "accepted"
    assert remote.tip() == second
    assert git(remote.bare, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    git(remote.bare, "fsck", "--strict")


def test_push_of_an_annotated_tag_and_its_deletion(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    git(remote.mirror, "tag", "-a", "-m", "good", "rollback/alpha/1", remote.tip())
    tag = git(remote.mirror, "rev-parse", "refs/tags/rollback/alpha/1")
    name = "refs/tags/rollback/alpha/1"
    assert remote.run("push", name, tag, NONE)["ok"]
    assert remote.tip(name) == tag
    assert remote.run("push", name, NONE, tag)["ok"]
    assert git(remote.bare, "tag") == ""


def test_large_push_arrives_whole(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    blob = git(remote.mirror, "hash-object", "-w", "--stdin", input=os.urandom(6_000_000))
    tree = git(remote.mirror, "mktree", input=f"100644 blob {blob}\tnoise\n".encode())
    commit = git(remote.mirror, "commit-tree", "-p", first, "-m", "large", tree)
    answer = remote.run("push", "refs/heads/main", commit, first)
    assert answer["ok"], answer
    assert remote.tip() == commit
    git(remote.bare, "fsck", "--strict")


# ---- somebody else pushes -----------------------------------------------------------------------

def assert_moved(answer, name="refs/heads/main"):
    assert not answer["ok"] and answer["code"] == "rejected", answer
    assert answer["updates"][name]["verdict"] == "moved", answer


def test_push_to_a_branch_that_moved_is_moved_and_never_forced(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    ours = remote.commit_here(first)
    theirs = gitserver.commit_file(remote.bare, "main", "theirs", b"x")
    assert_moved(remote.run("push", "refs/heads/main", ours, first))
    assert remote.tip() == theirs


def test_push_of_a_new_branch_that_exists_is_moved(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    ours = remote.commit_here(remote.tip())
    assert_moved(remote.run("push", "refs/heads/main", ours, NONE))


def test_push_to_a_branch_that_vanished_is_moved(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    git(remote.bare, "update-ref", "-d", "refs/heads/main")
    assert_moved(remote.run("push", "refs/heads/main", remote.commit_here(first), first))


def test_push_that_would_rewind_is_moved(remote):
    gitserver.commit_file(remote.bare, "main", "a", b"1")
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    tip = remote.tip()
    assert_moved(remote.run("push", "refs/heads/main", git(remote.bare, "rev-parse", "main~1"),
                            tip))
    assert remote.tip() == tip


def test_deletion_of_a_tag_that_is_elsewhere_is_moved(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    git(remote.bare, "tag", "rollback/alpha/1", "main")
    other = remote.commit_here(remote.tip())
    assert_moved(remote.run("push", "refs/tags/rollback/alpha/1", NONE, other),
                 "refs/tags/rollback/alpha/1")
    assert git(remote.bare, "tag") == "rollback/alpha/1"


def test_race_lost_between_advertisement_and_update_is_moved(remote):
    """The hook is the somebody else: it moves the branch after we saw it."""
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    ours = remote.commit_here(first)
    theirs = git(remote.bare, "commit-tree", "-p", first, "-m", "theirs", first + "^{tree}")
    gitserver.set_hook(remote.bare, "pre-receive", (
        "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n"
        f"exec git update-ref refs/heads/main {theirs}\n"))
    assert_moved(remote.run("push", "refs/heads/main", ours, first))
    assert remote.tip() == theirs


def test_three_writers_hammering_a_branch_lose_nothing(remote, tmp_path):
    count, writers = 6, ["one", "two", "three"]
    running = [subprocess.Popen(
        remote.command("hammer", "main", writer, count, mirror=tmp_path / writer),
        stdout=subprocess.PIPE) for writer in writers]
    answers = [json.loads(process.communicate(timeout=PROCESS_TIMEOUT_S)[0])
               for process in running]
    assert all(answer["ok"] for answer in answers), answers
    subjects = git(remote.bare, "log", "--format=%s", "main").splitlines()
    assert sorted(subjects) == sorted(
        ["first"] + [f"{writer} {number}" for writer in writers for number in range(count)])
    assert git(remote.bare, "rev-list", "--merges", "main") == ""
    git(remote.bare, "fsck", "--strict")


# ---- somebody says no ---------------------------------------------------------------------------

def test_push_declined_by_a_hook_shows_its_words(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    gitserver.set_hook(remote.bare, "pre-receive",
                       'printf "only \\033[31mEva\\033[0m may push\\n  ask her\\n" >&2\nexit 1\n')
    answer = remote.run("push", "refs/heads/main", remote.commit_here(first), first)
    update = answer["updates"]["refs/heads/main"]
    assert not answer["ok"] and answer["code"] == "refused"
    assert update["verdict"] == "declined"
    assert "pre-receive hook declined" in update["text"]
    assert "may push; ask her" in update["text"] and "\033" not in update["text"]
    assert "ask her" in answer["message"]
    assert remote.tip() == first


def test_push_declined_for_one_reference_tells_the_other_is_in(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    gitserver.set_hook(remote.bare, "update", 'test "$1" != refs/heads/main\n')
    ours = remote.commit_here(first)
    answer = remote.run("push", "refs/heads/main", ours, first, "refs/heads/free", ours, NONE)
    assert not answer["ok"] and answer["code"] == "refused"
    assert answer["updates"]["refs/heads/main"]["verdict"] == "declined"
    assert answer["updates"]["refs/heads/free"]["verdict"] == "accepted"
    assert remote.tip() == first and remote.tip("refs/heads/free") == ours


def test_a_flood_of_hook_output_is_cut(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    gitserver.set_hook(remote.bare, "pre-receive",
                       "head -c 300000 /dev/zero | tr '\\0' x >&2\nexit 1\n")
    answer = remote.run("push", "refs/heads/main", remote.commit_here(first), first)
    update = answer["updates"]["refs/heads/main"]
    assert update["verdict"] == "declined" and len(update["text"]) < 512


def test_a_repository_that_is_not_there_is_not_found(remote):
    remote.url = remote.url.replace(".git", "-none.git")
    answer = remote.run("list")
    assert not answer["ok"] and answer["code"] == "not-found", answer


# ---- SSH ----------------------------------------------------------------------------------------

def leaks_of_libssh2_allowed():
    return {**os.environ,
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":fast_unwind_on_malloc=0",
            "LSAN_OPTIONS": f"suppressions={ROOT / 'tests/lib/lsan-suppressions'}"
                            ":print_suppressions=0"}


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_ssh_with_each_kind_of_key(kind, bare, tmp_path):
    with SshServer(tmp_path, host_key=kind, client_key=kind) as server:
        remote = Remote(server.url(bare), ssh_options(server), bare, tmp_path / "m")
        answer = remote.run("list", env=leaks_of_libssh2_allowed())
        assert answer["ok"], answer


@pytest.fixture
def ssh_remote(bare, tmp_path):
    with SshServer(tmp_path) as server:
        remote = Remote(server.url(bare), ssh_options(server), bare, tmp_path / "mirror")
        remote.server = server
        yield remote


def fingerprint(public):
    out = subprocess.run(["ssh-keygen", "-lf", public], check=True, stdout=subprocess.PIPE)
    return out.stdout.decode().split()[1]


def test_unknown_host_key_is_refused_with_the_line_to_add(ssh_remote):
    server = ssh_remote.server
    line = server.known_hosts_line()
    server.known_hosts.write_text("# nothing yet\n")
    answer = ssh_remote.run("list")
    assert answer["code"] == "auth"
    assert line in answer["message"]
    assert fingerprint(f"{server.host_key}.pub") in answer["message"]
    server.known_hosts.write_text(line + "\n")
    assert ssh_remote.run("list")["ok"]


def test_changed_host_key_is_refused_with_both_fingerprints(ssh_remote, tmp_path):
    server = ssh_remote.server
    other = gitserver.make_key(tmp_path / "other_key")
    kind, key = Path(f"{other}.pub").read_text().split()[:2]
    server.known_hosts.write_text(f"# line 1\n[127.0.0.1]:{server.port} {kind} {key}\n")
    answer = ssh_remote.run("list")
    assert answer["code"] == "auth" and "has changed" in answer["message"]
    assert fingerprint(f"{other}.pub") in answer["message"]
    assert fingerprint(f"{server.host_key}.pub") in answer["message"]
    assert answer["where"] == f"{server.known_hosts}:2"


def test_hashed_known_hosts_are_understood(ssh_remote):
    known = ssh_remote.server.known_hosts
    subprocess.run(["ssh-keygen", "-Hf", known], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    assert "|1|" in known.read_text()
    assert ssh_remote.run("list")["ok"]


def test_revoked_host_key_is_refused(ssh_remote):
    known = ssh_remote.server.known_hosts
    kind, key = known.read_text().split()[1:3]
    known.write_text(known.read_text() + f"@revoked * {kind} {key}\n")
    answer = ssh_remote.run("list")
    assert answer["code"] == "auth" and "revoked" in answer["message"]


def test_damaged_line_of_known_hosts_is_named(ssh_remote):
    known = ssh_remote.server.known_hosts
    known.write_text(known.read_text() + "host ssh-ed25519 %%%\n")
    answer = ssh_remote.run("list")
    assert answer["code"] == "invalid" and answer["where"] == f"{known}:2"


def test_wrong_client_key_is_refused(ssh_remote, tmp_path):
    other = gitserver.make_key(tmp_path / "stranger")
    answer = ssh_remote.run("list", options=("--key", other))
    assert answer["code"] == "auth"
    assert str(other) in answer["message"] and ssh_remote.server.user in answer["message"]


def test_key_that_others_can_read_is_refused(ssh_remote):
    ssh_remote.server.key.chmod(0o644)
    answer = ssh_remote.run("list")
    assert answer["code"] == "refused" and "chmod" in answer["message"] + answer["hint"]


def test_key_with_a_passphrase_is_refused_before_connecting(ssh_remote, tmp_path):
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
    answer = ssh_remote.run("list", options=("--key", locked))
    assert answer["code"] == "invalid" and "passphrase" in answer["message"]


def test_rsa_key_works_or_is_refused_with_a_remedy(ssh_remote, tmp_path):
    rsa = gitserver.make_key(tmp_path / "rsa", "rsa")
    answer = ssh_remote.run("list", options=("--key", rsa))
    assert "libssh2" in answer["message"] and "ed25519" in answer["hint"] \
        or answer["code"] == "auth"  # libssh2 1.11: it is just not an authorized key


def test_path_with_quotes_is_passed_as_it_is(ssh_remote, tmp_path):
    odd = gitserver.make_bare(tmp_path / "it's; echo $HOME!.git")
    url = ssh_remote.server.url(odd).replace(" ", "%20")
    answer = Remote(url, ssh_remote.options, odd, tmp_path / "m2").run("list")
    assert answer["ok"], answer


# ---- HTTPS --------------------------------------------------------------------------------------

@pytest.fixture
def https_remote(bare, tmp_path):
    with HttpsServer(tmp_path, tmp_path, password="good") as server:
        token = secret(tmp_path / "token", "good\n")
        remote = Remote(server.url(bare.name), https_options(server, token), bare,
                        tmp_path / "mirror")
        remote.server, remote.token = server, token
        yield remote


def test_bare_token_goes_with_the_user_oauth2(https_remote):
    assert https_remote.run("list")["ok"]
    assert set(https_remote.server.users) == {"oauth2"}


def test_user_and_password_of_the_token_file_are_used(https_remote):
    secret(https_remote.token, "eva:good\n")
    assert https_remote.run("list")["ok"]
    assert set(https_remote.server.users) == {"eva"}


def test_wrong_token_is_refused(https_remote):
    secret(https_remote.token, "bad\n")
    answer = https_remote.run("list")
    assert answer["code"] == "auth" and "401" in answer["message"]
    assert "bad" not in json.dumps(answer)


def test_missing_token_is_named(https_remote):
    https_remote.options = ("--ca", https_remote.server.ca)
    answer = https_remote.run("list")
    assert answer["code"] == "auth" and "token_file" in answer["hint"]


def test_untrusted_ca_is_refused(https_remote, tmp_path):
    https_remote.options = ("--token", https_remote.token)
    answer = https_remote.run("list")
    assert answer["code"] == "auth" and "certificate" in answer["message"]
    other = gitserver.make_ca(tmp_path, "other")
    answer = https_remote.run("list", options=("--ca", other))
    assert answer["code"] == "auth" and "certificate" in answer["message"]
    assert https_remote.server.requests == []  # no token went out


def test_certificate_for_another_name_is_refused(bare, tmp_path):
    ca = gitserver.make_ca(tmp_path, "own")
    certificate = gitserver.make_certificate(ca, "elsewhere", "DNS:elsewhere.example")
    with HttpsServer(tmp_path, tmp_path, certificate=certificate) as server:
        remote = Remote(server.url(bare.name), ("--ca", ca), bare, tmp_path / "m")
        answer = remote.run("list")
        assert answer["code"] == "auth" and "certificate" in answer["message"]


def test_ca_file_that_is_none_is_named(https_remote, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate\n")
    answer = https_remote.run("list", options=("--ca", broken))
    assert answer["code"] == "invalid" and str(broken) in answer["message"]


def test_server_with_tls_1_3_only(bare, tmp_path):
    only = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    with HttpsServer(tmp_path, tmp_path, tls_versions=only) as server:
        remote = Remote(server.url(bare.name, "localhost"), ("--ca", server.ca), bare,
                        tmp_path / "m")
        assert remote.run("list")["ok"]


def test_plain_http_on_loopback_works_and_elsewhere_is_refused(bare, tmp_path):
    with HttpsServer(tmp_path, tmp_path, tls=False) as server:
        remote = Remote(server.url(bare.name), (), bare, tmp_path / "m")
        assert remote.run("list")["ok"]
        remote.url = "http://git.example/infra.git"
        answer = remote.run("list")
        assert answer["code"] == "invalid" and "https://" in answer["hint"]


@pytest.mark.parametrize(("status", "code", "word"), [
    (403, "auth", "forbidden"), (404, "not-found", "no such repository"),
    (301, "invalid", "https://moved.example/x"), (500, "unreachable", "500"),
    (503, "unreachable", "503"), (429, "unreachable", "429"), (418, "invalid", "418"),
    (200, "invalid", "not a git server"),
])
def test_each_http_status_says_what_it_means(https_remote, status, code, word):
    https_remote.server.answer = {
        "status": status, "body": b"<p>\033[31mlogin</p>", "Content_Type": "text/html",
        "Location": "https://moved.example/x"}
    answer = https_remote.run("list")
    assert answer["code"] == code and word in answer["message"], answer
    assert "\033" not in answer["message"]


def test_garbage_with_the_right_type_is_an_error_and_deletes_nothing(https_remote):
    assert https_remote.run("fetch", "origin", "refs/heads/main")["ok"]
    before = git(https_remote.mirror, "for-each-ref")
    for body in (b"", b"hello", b"0000", b"zzzz", os.urandom(1000)):
        https_remote.server.answer = {
            "status": 200, "body": body,
            "Content_Type": "application/x-git-upload-pack-advertisement"}
        answer = https_remote.run("fetch", "origin", "refs/heads/main")
        assert not answer["ok"] or answer["missing"] == ["refs/heads/main"], answer
        assert git(https_remote.mirror, "for-each-ref") == before


def test_a_large_answer_is_streamed(https_remote):
    gitserver.commit_file(https_remote.bare, "main", "noise", os.urandom(9_000_000))
    assert https_remote.run("fetch", "origin", "refs/heads/main")["ok"]
    git(https_remote.mirror, "fsck", "--strict")


# ---- peers that say nothing ---------------------------------------------------------------------

LIMITS = ("--connect", 400, "--idle", 400, "--total", 60000)


def assert_timed_out(answer, *words):
    """The message says how long was waited and for what; the clock of the test is not asked."""
    assert not answer["ok"] and answer["code"] == "timeout", answer
    assert "no answer within 400 ms" in answer["message"]
    for word in words:
        assert word in answer["message"], answer


def test_silent_ssh_server_ends_at_the_deadline(ssh_remote):
    with SilentServer() as server:
        ssh_remote.url = f"ssh://git@127.0.0.1:{server.port}/x.git"
        answer = ssh_remote.run("list", options=LIMITS)
    assert_timed_out(answer, f"ssh 127.0.0.1:{server.port}", "agreeing on keys")


def test_ssh_banner_and_silence_ends_at_the_deadline(ssh_remote):
    with SilentServer(b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        ssh_remote.url = f"ssh://git@127.0.0.1:{server.port}/x.git"
        assert_timed_out(ssh_remote.run("list", options=LIMITS), "agreeing on keys")


def test_silent_tls_server_ends_at_the_deadline(https_remote):
    with SilentServer() as server:
        https_remote.url = f"https://127.0.0.1:{server.port}/x.git"
        answer = https_remote.run("list", options=LIMITS)
    assert_timed_out(answer, f"https 127.0.0.1:{server.port}", "connecting")


def test_tls_and_silence_ends_at_the_deadline(https_remote, tmp_path):
    ca = gitserver.make_ca(tmp_path, "own")
    with SilentServer(certificate=gitserver.make_certificate(ca)) as server:
        https_remote.url = f"https://127.0.0.1:{server.port}/x.git"
        answer = https_remote.run("list", options=("--ca", ca, *LIMITS))
    assert_timed_out(answer, "fetching")


def test_ssh_server_that_hangs_in_the_middle_of_a_pack_ends_at_the_deadline(bare, tmp_path):
    gitserver.commit_file(bare, "main", "noise", os.urandom(200_000))
    with SshServer(tmp_path, force=gitserver.cut_after(50_000)) as server:
        remote = Remote(server.url(bare), ssh_options(server), bare, tmp_path / "m")
        limits = ("--idle", 2000, "--total", 60000)  # the login must pass on a busy machine
        answer = remote.run("fetch", "origin", "refs/heads/main", options=limits)
    assert answer["code"] == "timeout" and "2000 ms while fetching" in answer["message"], answer
    assert git(remote.mirror, "for-each-ref") == ""


def test_https_server_that_hangs_in_the_middle_of_a_pack_ends_at_the_deadline(https_remote):
    gitserver.commit_file(https_remote.bare, "main", "noise", os.urandom(200_000))
    https_remote.server.cut_after = 50_000
    limits = ("--idle", 2000, "--total", 60000)
    answer = https_remote.run("fetch", "origin", "refs/heads/main", options=limits)
    assert answer["code"] == "timeout" and "2000 ms while fetching" in answer["message"], answer
    assert git(https_remote.mirror, "for-each-ref") == ""


def test_hook_that_hangs_ends_at_the_deadline_with_an_unknown_outcome(remote):
    assert remote.run("fetch", "origin", "refs/heads/main")["ok"]
    first = remote.tip()
    fifo = remote.bare / "never"
    os.mkfifo(fifo)
    gitserver.set_hook(remote.bare, "pre-receive", f"exec cat {fifo}\n")
    limits = ("--idle", 2000, "--total", 60000)
    answer = remote.run("push", "refs/heads/main", remote.commit_here(first), first,
                        options=limits)
    with open(os.open(fifo, os.O_RDWR), "w"):  # lets the hook go
        pass
    assert answer["code"] == "timeout" and "while pushing" in answer["message"], answer
    assert answer["updates"]["refs/heads/main"]["verdict"] == "unknown"


def test_total_limit_holds_although_bytes_come(https_remote):
    answer = https_remote.run("list", options=("--total", 1))
    assert answer["code"] == "timeout" and "within 1 ms" in answer["message"], answer


@pytest.mark.parametrize("kind", ["ssh", "https"])
def test_cancel_ends_a_silent_call_at_once(kind, ssh_remote, tmp_path):
    with SilentServer() as server:
        ssh_remote.url = f"{kind}://git@127.0.0.1:{server.port}/x.git"
        long = ("--connect", 60000, "--idle", 60000, "--total", 60000, "--cancel", 0)
        process = subprocess.Popen(ssh_remote.command("list", options=long),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while not server.peers:  # it has connected
            assert process.poll() is None
        answer = json.loads(process.communicate(b"stop")[0])
    assert answer["code"] == "stopped", answer
    assert answer["took_ms"] < 60000


def test_cancel_in_the_middle_of_a_pack_leaves_the_mirror_as_it_was(https_remote):
    gitserver.commit_file(https_remote.bare, "main", "noise", os.urandom(200_000))
    https_remote.server.cut_after = 50_000
    long = ("--idle", 60000, "--total", 60000, "--cancel", 0)
    process = subprocess.Popen(
        https_remote.command("fetch", "origin", "refs/heads/main", options=long),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    while ("POST", "/infra.git/git-upload-pack") not in https_remote.server.requests:
        assert process.poll() is None
    answer = json.loads(process.communicate(b"stop")[0])
    assert answer["code"] == "stopped", answer
    assert git(https_remote.mirror, "for-each-ref") == ""
    https_remote.server.cut_after = None
    assert https_remote.run("fetch", "origin", "refs/heads/main")["ok"]
    git(https_remote.mirror, "fsck", "--strict")


def test_port_that_refuses_is_unreachable(ssh_remote):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        port = taken.getsockname()[1]
        for kind in ("ssh", "https"):
            ssh_remote.url = f"{kind}://git@127.0.0.1:{port}/x.git"
            answer = ssh_remote.run("list")
            assert answer["code"] == "unreachable", answer
            assert f"{kind} 127.0.0.1:{port}: cannot connect" in answer["message"]


def test_name_that_does_not_exist_is_unreachable(ssh_remote):
    for kind in ("ssh", "https"):
        ssh_remote.url = f"{kind}://git@no-such-host.invalid/x.git"
        answer = ssh_remote.run("list", options=("--connect", 5000))
        assert answer["code"] in ("unreachable", "timeout"), answer
        assert "name" in answer["message"], answer


def test_server_that_is_no_ssh_server_is_unreachable(ssh_remote):
    with SilentServer(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100) as server:
        ssh_remote.url = f"ssh://git@127.0.0.1:{server.port}/x.git"
        answer = ssh_remote.run("list", options=LIMITS)
        assert answer["code"] in ("unreachable", "timeout"), answer
