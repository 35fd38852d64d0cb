"""Promise 10: with `allowed_signers_file` only commits that a listed key signed are deployed."""

import re
import shutil
import subprocess
import tempfile

import pytest

from tests.lib.fleet import APPS, VARIABLES
from tests.lib.gitserver import ENVIRONMENT, git

EVA, BOB = "eva@example.org", "bob@example.org"


def make_key(fleet, name, kind="ed25519"):
    """Path of a new private key."""
    path = fleet.folder / "keys" / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path], check=True,
                   stdin=subprocess.DEVNULL)
    return path


def line(key, name, options=""):
    public = key.with_suffix(".pub").read_text().strip()
    return f"{name} {options + ' ' if options else ''}{public}\n"


def allow(fleet, *lines):
    (fleet.folder / "keys/allowed_signers").write_text("# who may\n" + "".join(lines))


def sign_with(fleet, key):
    """All commits from here on; None: unsigned."""
    git(fleet.work, "config", "commit.gpgsign", "true" if key else "false")
    git(fleet.work, "config", "gpg.format", "ssh")
    git(fleet.work, "config", "user.signingkey", key or "none")


def configure(fleet, *keys):
    text = "".join(f', {key}: "{fleet.folder}/keys/{name}"' for key, name in keys)
    fleet.configure(**{"poll_interval: 1h": f"poll_interval: 1h{text}"})


@pytest.fixture(name="signed")
def make_signed(idle_fleet):
    """Onboarded by an unsigned commit; from now on Eva's signature is asked for."""
    return ask_for_eva(idle_fleet)


def ask_for_eva(fleet):
    fleet.eva = make_key(fleet, "eva")
    fleet.bob = make_key(fleet, "bob")
    allow(fleet, line(fleet.eva, EVA, 'namespaces="git"'))
    configure(fleet, ("allowed_signers_file", "allowed_signers"))
    sign_with(fleet, fleet.eva)
    return fleet


def serve(fleet):
    # The unsigned tip is what is deployed already; the refusal of it is recorded and done with.
    return fleet.start().settle()


def refused(fleet, commit, *patterns):
    """Nothing of it was touched, and the record says why."""
    fleet.settle()
    rollout = fleet.rollout(commit)
    assert rollout["state"] == "refused" and fleet.ends(commit) == ["refused"]
    assert not fleet.activations(commit=commit)
    assert len(rollout["reasons"]) == len(patterns), rollout["reasons"]
    for reason, pattern in zip(rollout["reasons"], patterns):
        assert re.search(pattern, reason), reason
    return rollout["reasons"]


def deployed(fleet, commit, signer):
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"], fleet.service.log()
    facts = [fact for fact in fleet.facts(commit) if fact.author]
    assert facts and {fact.signed_by for fact in facts} == {signer}


def test_a_signed_commit_is_deployed_and_the_record_says_who_signed(signed):
    serve(signed)
    commit = signed.upgrade("1.0.1")
    deployed(signed, commit, EVA)
    assert set(signed.versions().values()) == {"1.0.1"}


def test_an_unsigned_commit_is_refused_like_a_bad_one(signed):
    serve(signed)
    sign_with(signed, None)
    commit = signed.upgrade("1.0.1")
    refused(signed, commit, rf"commit {commit[:12]}: it is not signed.*commit --amend")
    # what comes after it does not heal it: the commit stays on the line
    sign_with(signed, signed.eva)
    later = signed.upgrade("1.0.2")
    refused(signed, later, rf"commit {commit[:12]}: it is not signed")
    # signed again, it passes
    git(signed.work, "rebase", "-q", "--force-rebase", "HEAD~2")
    git(signed.work, "push", "-q", "-f", "origin", "main")
    commit = signed.upgrade("1.0.3")
    deployed(signed, commit, EVA)


def test_an_unsigned_commit_in_the_middle_of_a_push_is_refused(signed):
    serve(signed)
    signed.edit(APPS, "api:1.0.0", "api:1.0.1")
    signed.commit("signed")
    sign_with(signed, None)
    signed.edit(APPS, "web:2.0.0", "web:2.0.1")
    middle = signed.commit("not signed")
    sign_with(signed, signed.eva)
    signed.edit(APPS, "web:2.0.1", "web:2.0.2")
    commit = signed.push("signed again")
    refused(signed, commit, rf"commit {middle[:12]}: it is not signed")


def expired(fleet):
    allow(fleet, line(fleet.eva, EVA, 'valid-before="20200101Z"'))


def not_yet(fleet):
    allow(fleet, line(fleet.eva, EVA, 'valid-after="29990101Z"'))


def for_files(fleet):
    allow(fleet, line(fleet.eva, EVA, 'namespaces="file,email"'))


def nobody_knows(fleet):
    sign_with(fleet, fleet.bob)


@pytest.mark.parametrize("change, pattern", [
    (nobody_knows, r"SHA256:\S+ is not listed.*allowed_signers"),
    (expired, rf"'{EVA}' has expired: it counts until 2020-01-01T00:00:00Z"),
    (not_yet, rf"'{EVA}' counts from 2999-01-01"),
    (for_files, rf"'{EVA}' may not sign for git.*file,email"),
])
def test_a_key_that_does_not_count_is_told(signed, change, pattern):
    serve(signed)
    change(signed)
    commit = signed.upgrade("1.0.1")
    refused(signed, commit, pattern)


def test_the_list_is_read_again_without_a_restart(signed):
    serve(signed)
    sign_with(signed, signed.bob)
    refused(signed, signed.upgrade("1.0.1"), "is not listed")
    allow(signed, line(signed.eva, EVA), line(signed.bob, BOB))
    deployed(signed, signed.upgrade("1.0.2"), BOB)
    sign_with(signed, signed.eva)
    signed.edit(APPS, "web:2.0.0", "web:2.0.1")
    signed.commit("by Eva")
    sign_with(signed, signed.bob)
    deployed(signed, signed.upgrade("1.0.3"), f"{BOB}, {EVA}")


def test_a_revoked_key_signs_nothing(signed):
    configure(signed, ("allowed_signers_file", "allowed_signers"),
              ("revoked_signers_file", "eva.pub"))
    serve(signed)
    refused(signed, signed.upgrade("1.0.1"), "is revoked")


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_types_of_keys_are_verified_by_ssh_keygen(signed, kind):
    key = make_key(signed, "other", kind)
    allow(signed, line(key, "otto@example.org"))
    serve(signed)
    sign_with(signed, key)
    deployed(signed, signed.upgrade("1.0.1"), "otto@example.org")
    # a commit that carries the signature of another one
    text = git(signed.work, "cat-file", "commit", "HEAD")
    forged = git(signed.work, "hash-object", "-t", "commit", "-w", "--stdin",
                 input=(text.replace("api 1.0.1", "api 1.0.2") + "\n").encode())
    git(signed.work, "reset", "-q", "--hard", forged)
    git(signed.work, "push", "-q", "-f", "origin", "main")
    signed.service.deliver(signed.payload("0" * 40, forged))
    refused(signed, forged, "does not belong to what it stands on")


def test_nothing_happens_while_the_list_does_not_read(signed):
    serve(signed)
    path = signed.folder / "keys/allowed_signers"
    good = path.read_text()
    path.write_text(good + "eva@example.org cert-authority ssh-ed25519 AAAA\n")
    commit = signed.upgrade("1.0.1")
    signed.wait_for("the mistake to be told", lambda: re.search(
        r"allowed_signers:3: .*cert-authority", signed.service.log()))
    assert not signed.activations(commit=commit) and signed.ends(commit) == []
    path.write_text(good)
    signed.service.deliver(signed.payload("0" * 40, commit))
    deployed(signed, commit, EVA)


def test_check_reads_the_list(signed):
    done = signed.command("serve", "--check")
    assert done.returncode == 0, done.stderr
    allow(signed, "eva@example.org ssh-dss AAAA\n")
    done = signed.command("serve", "--check")
    assert done.returncode == 1
    assert re.search(r"aviary\.yaml:\d+: .*allowed_signers:2: .*ssh-dss", done.stderr), done.stderr
    (signed.folder / "keys/allowed_signers").unlink()
    assert signed.command("serve", "--check").returncode == 1
    configure(signed, ("forge_keyring_file", "eva.pub"))
    done = signed.command("serve", "--check")
    assert "repository.allowed_signers_file" in done.stderr


def test_a_record_of_a_running_rollout_does_not_smuggle_a_commit_in(signed):
    """Whoever may push may write the status branch too; the commit it names is judged again."""
    signed.configure()
    signed.start().settle()
    sign_with(signed, None)
    signed.hold_back("alpha")
    commit = signed.upgrade("1.0.1")
    signed.wait_for_activation("alpha", commit)
    signed.service.process.kill()
    signed.service.wait()
    signed.end_activations()
    signed.script("alpha", "")
    configure(signed, ("allowed_signers_file", "allowed_signers"))
    count = len(signed.activations(commit=commit))
    signed.start(ready=False)
    signed.wait_for("the refusal", lambda: f"commit {commit[:12]}: it is not signed"
                    in signed.service.readyz()[1])
    assert len(signed.activations(commit=commit)) == count
    assert signed.ends(commit) == []


# ---- merges


def branch_off(fleet, key):
    """A commit on a branch, signed by that key, while main has got another one; its id."""
    git(fleet.work, "checkout", "-q", "-b", "topic")
    sign_with(fleet, key)
    fleet.edit(APPS, "api:1.0.0", "api:1.0.1")
    topic = fleet.commit("on a branch")
    git(fleet.work, "checkout", "-q", "main")
    sign_with(fleet, fleet.eva)
    fleet.write("docs/notes.md", "of main\n")
    fleet.commit("meanwhile on main")
    sign_with(fleet, None)
    return topic


def test_a_plain_merge_of_a_signed_branch_needs_no_signature(signed):
    serve(signed)
    branch_off(signed, signed.eva)
    git(signed.work, "merge", "-q", "--no-ff", "-m", "as the forge does it", "topic")
    deployed(signed, signed.send(), EVA)
    assert set(signed.versions().values()) == {"1.0.1"}


def test_a_merge_that_slips_something_in_is_refused(signed):
    serve(signed)
    branch_off(signed, signed.eva)
    git(signed.work, "merge", "-q", "--no-ff", "--no-commit", "topic", stderr=subprocess.DEVNULL)
    signed.write(VARIABLES, signed.read(VARIABLES) + "slipped: in\n")
    commit = signed.push("evil")
    refused(signed, commit, rf"commit {commit[:12]}: no plain merge of its parents: .*not signed")


def test_a_merge_of_an_unsigned_branch_is_refused(signed):
    serve(signed)
    topic = branch_off(signed, None)
    git(signed.work, "merge", "-q", "--no-ff", "-m", "as the forge does it", "topic")
    commit = signed.send()
    refused(signed, commit, rf"commit {commit[:12]}: its second parent {topic[:12]}: .*not signed")


def test_an_unsigned_commit_below_a_plain_merge_is_refused(signed):
    serve(signed)
    branch_off(signed, signed.eva)
    signed.write("docs/notes.md", "unsigned on main\n")
    unsigned = signed.commit("unsigned on main")
    git(signed.work, "merge", "-q", "--no-ff", "-m", "as the forge does it", "topic")
    refused(signed, signed.send(), rf"commit {unsigned[:12]}: it is not signed")


@pytest.fixture(name="forge")
def make_forge_key(signed):
    """A function that signs HEAD as a forge does, with an OpenPGP key."""
    if not shutil.which("gpg") or not shutil.which("gpgv"):
        pytest.skip("gpg or gpgv is not installed")
    # its agent's socket has a short path, too
    home = tempfile.mkdtemp(prefix="aviary-gpg-")
    env = ENVIRONMENT | {"GNUPGHOME": home}

    def gpg(*arguments, **options):
        return subprocess.run(["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback",
                               "--passphrase", "", *arguments], env=env, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options).stdout

    def sign(name="Forge <noreply@forge.example.org>"):
        text = git(signed.work, "cat-file", "commit", "HEAD").encode() + b"\n"
        armor = gpg("--local-user", name, "--armor", "--detach-sign", input=text)
        head, body = text.split(b"\n\n", 1)
        header = b"\ngpgsig " + armor.rstrip(b"\n").replace(b"\n", b"\n ")
        commit = git(signed.work, "hash-object", "-t", "commit", "-w", "--stdin",
                     input=head + header + b"\n\n" + body)
        git(signed.work, "reset", "-q", "--hard", commit)
        return signed.send()

    try:
        for name in ("Forge <noreply@forge.example.org>", "Other <other@example.org>"):
            gpg("--quick-generate-key", name, "ed25519", "sign", "never")
        keys = gpg("--export", "noreply@forge.example.org")
        (signed.folder / "keys/forge.gpg").write_bytes(keys)
        configure(signed, ("allowed_signers_file", "allowed_signers"),
                  ("forge_keyring_file", "forge.gpg"))
        yield sign
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=env, check=False)
        shutil.rmtree(home, ignore_errors=True)


def test_a_merge_that_the_forge_signed_passes(signed, forge):
    serve(signed)
    branch_off(signed, None)
    git(signed.work, "merge", "-q", "--no-ff", "-m", "in the web page", "topic")
    deployed(signed, forge(), f"forge:Forge <noreply@forge.example.org>, {EVA}")


def test_the_forges_key_counts_for_merges_only(signed, forge):
    serve(signed)
    sign_with(signed, None)
    signed.edit(APPS, "api:1.0.0", "api:1.0.1")
    signed.commit("edited in the web page")
    refused(signed, forge(), "signed with OpenPGP: .*merges only")


def test_a_merge_signed_by_another_openpgp_key_is_refused(signed, forge):
    serve(signed)
    branch_off(signed, None)
    git(signed.work, "merge", "-q", "--no-ff", "-m", "in the web page", "topic")
    refused(signed, forge("Other <other@example.org>"), "its second parent .* not signed")


def test_facts_and_tags_carry_the_services_own_signature(signed):
    key = make_key(signed, "ours")
    text = signed.service.config.read_text()
    signed.service.config.write_text(text.replace(
        "branch: deployments,", f'branch: deployments, signing_key_file: "{key}",'))
    tip = signed.tip()
    serve(signed)
    deployed(signed, signed.upgrade("1.0.1"), EVA)
    (signed.folder / "keys/trusted").write_text(line(key, "aviary@example.org"))
    trust = ("-c", f"gpg.ssh.allowedSignersFile={signed.folder}/keys/trusted")
    facts = git(signed.bare, "rev-list", f"{tip}..deployments").split()
    assert len(facts) > 5
    git(signed.bare, *trust, "verify-commit", *facts, stderr=subprocess.DEVNULL)
    fresh = [name for name, (_, commit) in signed.tags().items() if name.startswith("rollback/")]
    assert fresh
    git(signed.bare, *trust, "verify-tag", *fresh, stderr=subprocess.DEVNULL)
    signed.service.stop()
    key.chmod(0o644)
    done = signed.command("serve", "--check")
    assert done.returncode == 1 and "chmod" in done.stderr, done.stderr


def test_records_on_the_tracked_branch_need_no_signature(fresh_fleet):
    signed = ask_for_eva(fresh_fleet)
    text = signed.service.config.read_text()
    signed.service.config.write_text(text.replace("branch: deployments", "branch: main"))
    refused_first = signed.command("apply")
    assert "it is not signed" in refused_first.stdout + refused_first.stderr
    git(signed.work, "pull", "-q", "--rebase", "origin", "main")
    signed.push("signed", webhook=False)
    first = signed.command("apply")
    assert first.returncode == 0, first.stderr
    git(signed.work, "pull", "-q", "--rebase", "origin", "main")
    signed.upgrade("1.0.2", webhook=False)
    second = signed.command("apply")
    assert second.returncode == 0, second.stderr + second.stdout
    assert set(signed.versions().values()) == {"1.0.2"}
    bodies = git(signed.bare, "log", "--format=%(trailers:key=Signed-By)", "main")
    assert f"Signed-By: {EVA}" in bodies
