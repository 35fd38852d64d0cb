"""The keys under which secrets enter release digests follow the recipients of the shared secrets, and
nobody is deployed for that."""

import json
import subprocess

import pytest

from tests.lib.fleet import CLIENTS, POLICY, sops

KEYS = "digest-key.sops.yaml"


@pytest.fixture(name="two")
def with_second_key(fleet):
    """A fleet at rest whose owner has the key `age-key.txt`; `eva.txt` is another one."""
    fleet.write_key("eva.txt", sops("keygen"))
    fleet.settle()
    return fleet


def key_text(fleet, *names):
    return "".join((fleet.folder / "keys" / name).read_text() for name in names)


def encrypt_for(fleet, *names):
    """The same secrets, for these keys; returns once the service has seen the commit."""
    fleet.write_key("recipients.txt", key_text(fleet, *names))
    values = {"shared": {"mail_password": "shared-mail-password"}}
    for client in CLIENTS:
        values[f"clients/{client}"] = {"database_password": f"own-password-of-{client}"}
    for name, secrets in values.items():
        fleet.write(f"secrets/{name}.sops.yaml", sops(
            "encrypt", str(fleet.folder / "keys/recipients.txt"), text=json.dumps(secrets)))
    commit = fleet.push("Other recipients")
    fleet.settle(commit)
    return commit


def ids(fleet, name):
    """Of the keys that are there, opened by a key."""
    text = sops("decrypt", str(fleet.folder / "keys" / name), text=fleet.show(KEYS))
    return [key["id"] for key in json.loads(text)["keys"]]


def opens(fleet, name):
    try:
        return bool(ids(fleet, name))
    except subprocess.CalledProcessError:
        return False


def untouched(fleet, before):
    """Nobody was deployed, and each record stands under its old key."""
    assert len(fleet.activations()) == before
    assert {fleet.record(client)["release_key"] for client in CLIENTS} == {"k1"}
    assert {fleet.record(client)["state"] for client in CLIENTS} == {"healthy"}


def test_a_recipient_that_comes_reads_the_keys_that_there_are(two):
    before = len(two.activations())
    encrypt_for(two, "age-key.txt", "eva.txt")
    assert ids(two, "eva.txt") == ids(two, "age-key.txt") == ["k1"]
    assert two.subjects()[-1] == "key(k1): digest keys encrypted for other recipients"
    untouched(two, before)
    tip = two.tip()
    encrypt_for(two, "eva.txt", "age-key.txt")  # in another order
    assert two.tip() == tip


def test_a_recipient_that_goes_does_not_know_the_next_key(two):
    before = len(two.activations())
    encrypt_for(two, "age-key.txt", "eva.txt")
    encrypt_for(two, "age-key.txt")
    assert ids(two, "age-key.txt") == ["k1", "k2"] and not opens(two, "eva.txt")
    assert two.subjects()[-1] == "key(k2): digest key made: a recipient was removed"
    untouched(two, before)
    commit = two.upgrade("1.0.1")
    two.settle(commit)
    assert two.record("alpha")["release_key"] == "k2"
    assert two.record("epsilon")["release_key"] == "k1"  # has no api: nothing changes


def test_a_commit_with_a_mistake_takes_nobody_away(two):
    encrypt_for(two, "age-key.txt", "eva.txt")
    two.edit(POLICY, "verify:", "verfy:")
    bad = two.push("A mistake")
    two.settle(bad)
    assert two.ends(bad) == ["refused"]
    assert ids(two, "eva.txt") == ids(two, "age-key.txt") == ["k1"]
    assert not [each for each in two.subjects() if each.startswith("key(k2)")]


def test_a_key_that_no_record_uses_goes(two):
    encrypt_for(two, "age-key.txt", "eva.txt")
    encrypt_for(two, "age-key.txt")
    encrypt_for(two, "age-key.txt", "eva.txt")
    assert ids(two, "eva.txt") == ["k1", "k2"]
    encrypt_for(two, "age-key.txt")
    assert ids(two, "age-key.txt") == ["k1", "k3"]


def test_a_key_stays_under_which_a_rollout_holds_whom_it_did_not_reach(two):
    encrypt_for(two, "age-key.txt", "eva.txt")
    encrypt_for(two, "age-key.txt")
    two.edit(POLICY, "bake: 200ms", "bake: 200ms, approval: manual")
    two.settle(two.push("Somebody is asked"))
    aborted = two.upgrade("1.0.1")
    two.wait_for("the question", lambda: two.ends(aborted) == ["waiting"])
    two.command("abort", two.rollout(aborted)["id"], "--reason", "not this", check=True)
    two.settle(aborted)
    encrypt_for(two, "age-key.txt", "eva.txt")
    encrypt_for(two, "age-key.txt")
    assert ids(two, "age-key.txt") == ["k1", "k2", "k3"]
    assert two.rollouts()[-1]["state"] == "refused"  # nobody's hold has ended
    untouched(two, 0)


def test_the_only_recipient_is_replaced_while_the_old_identity_is_still_there(two):
    before = len(two.activations())
    two.write_key("old.txt", key_text(two, "age-key.txt"))
    encrypt_for(two, "eva.txt")  # which the service cannot open yet
    assert two.rollouts()[-1]["state"] == "refused"
    assert opens(two, "old.txt")
    two.service.stop()
    two.write_key("age-key.txt", key_text(two, "old.txt", "eva.txt"))
    two.start()
    two.push("Once more")
    two.settle()
    assert ids(two, "eva.txt") == ["k1", "k2"] and not opens(two, "old.txt")
    two.service.stop()
    two.write_key("age-key.txt", key_text(two, "eva.txt"))
    two.start()
    two.push("And without the old one")
    two.settle()
    assert ids(two, "eva.txt") == ["k1", "k2"]
    untouched(two, before)


def test_keys_that_nobody_opens_are_lost_and_each_client_comes_once(two):
    two.service.stop()
    two.write_key("age-key.txt", key_text(two, "eva.txt"))
    two.start()
    commit = encrypt_for(two, "eva.txt")
    (key,) = ids(two, "eva.txt")
    assert key != "k1"
    members = two.rollout(commit)["stages"][0]["clients"]
    assert "digest key lost" in members["alpha"]["reasons"], members
    assert {two.record(client)["release_key"] for client in CLIENTS} == {key}
