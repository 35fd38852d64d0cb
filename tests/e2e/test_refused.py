"""Bad commits: each is refused with the place of its mistake, recorded once, and touches nothing.

One fleet for all cases, since none of them may leave a trace on it but the record.
"""

import os
import re
import shutil

import pytest

from tests.lib.fleet import (APPS, CLIENTS, INVENTORY, POLICY, VARIABLES, Fleet, tell)
from tests.lib.gitserver import git

ALPHA_SECRETS = "secrets/clients/alpha.sops.yaml"
ENV = "templates/env.mustache"


@pytest.fixture(name="shared", scope="module")
def start_one(fleets, checks):
    fleet = Fleet(fleets / "refused", checks).make()
    try:
        fleet.start().settle()
        yield fleet
    finally:
        fleet.close()


@pytest.fixture(name="fleet")
def restore(shared, request):
    """The fleet at its good commit; what a case changed is taken back by a commit."""
    good = git(shared.work, "rev-parse", "HEAD^{tree}")
    yield shared
    if getattr(request.node, "failed", False):
        tell(shared)
    shutil.rmtree(shared.work / ENV, ignore_errors=True)  # the submodule
    git(shared.work, "read-tree", "-u", "--reset", good)
    git(shared.work, "checkout", "-q", "--", ".")
    shared.push("As before")
    shared.settle()


def replace(path, old, new):
    return lambda fleet: fleet.edit(path, old, new)


def append(path, text):
    return lambda fleet: fleet.write(path, fleet.read(path) + text)


def write(path, data):
    return lambda fleet: fleet.write(path, data)


def damage_value(fleet):
    """A value of another key under this one's name, which only the MAC or its place tells."""
    text = fleet.read(ALPHA_SECRETS)
    fleet.write(ALPHA_SECRETS, re.sub(
        r"(mac: ENC\[AES256_GCM,data:)(.)", lambda m: m[1] + ("A" if m[2] != "A" else "B"), text))


def encrypt_for_others(fleet):
    shared = fleet.folder / "keys/age-key.txt"
    mine = shared.read_text()
    try:
        from tests.lib.fleet import sops
        fleet.write_key("age-key.txt", sops("keygen"))
        fleet.write_secrets("clients/alpha", database_password="for somebody else")
    finally:
        fleet.write_key("age-key.txt", mine)


def link_out(fleet):
    (fleet.work / ENV).unlink()
    os.symlink("/etc/hostname", fleet.work / ENV)


def add_submodule(fleet):
    (fleet.work / ENV).unlink()
    git(".", "clone", "-q", fleet.bare, fleet.work / ENV)


# name: (what the commit does, a pattern of the reason)
CASES = {
    "policy that is no YAML": (
        append(POLICY, "stages: [\n"), r"fleet\.yaml:\d+: "),
    "policy with an unknown key": (
        replace(POLICY, "verify:", "verfy:"), r"fleet\.yaml:\d+: .*'verfy'.*'?verify"),
    "policy with a key twice": (
        append(POLICY, "version: 1\n"), r"fleet\.yaml:\d+: .*version"),
    "policy with a key that comes later": (
        append(POLICY, "retention: {}\n"), r"fleet\.yaml:\d+: .*retention.*not supported yet"),
    "policy that is missing": (
        lambda fleet: (fleet.work / POLICY).unlink(), r"fleet\.yaml"),
    "policy with a value out of its limits": (
        replace(POLICY, "batch: 2", "batch: 0"), r"fleet\.yaml:5: .*batch"),
    "policy with a check of an app that nobody has": (
        replace(POLICY, "  api: {command", "  nobody: {command"), r"fleet\.yaml:\d+: .*nobody"),
    "inventory that is no YAML": (
        append(INVENTORY, "  - {\n"), r"clients\.yml:\d+: "),
    "inventory that is missing": (
        lambda fleet: (fleet.work / INVENTORY).unlink(), r"clients\.yml"),
    "inventory with 200 KB of brackets": (
        write(INVENTORY, "all: " + "[" * 200000), r"clients\.yml:\d+: .*(deep|nest)"),
    "two clients of one name": (
        replace(INVENTORY, "client_name: gamma", "client_name: beta"),
        r"clients\.yml:\d+: .*beta"),
    "client with a bad name": (
        replace(INVENTORY, "client_name: gamma", "client_name: Gamma Ltd"),
        r"clients\.yml:16: .*Gamma Ltd"),
    "client with a line break in its name": (
        replace(INVENTORY, "client_name: gamma", 'client_name: "gam\\nma"'),
        r"clients\.yml:16: "),
    "client without apps": (
        replace(INVENTORY, "          apps: [web]\n", ""), r"clients\.yml:\d+: .*apps"),
    "client in no stage": (
        append(INVENTORY, "    others:\n      hosts:\n        zeta:\n"
               "          client_name: zeta\n          domain: z\n          apps: [api]\n"),
        r"clients\.yml:\d+: .*zeta"),
    "no canary at all": (
        replace(INVENTORY, "    canary:\n", "    canaries:\n"), r"canary"),
    "client that takes another's host": (
        replace(INVENTORY, "client_name: gamma", "client_name: gamma2"),
        r"clients\.yml:16: .*gamma2.*gamma.*renamed"),
    "pin until no day": (
        replace(INVENTORY, "client_name: gamma",
                "client_name: gamma\n          aviary_pin: {until: soon, reason: x}"),
        r"clients\.yml:17: .*pin.*no day: 'soon'"),
    "pin without a reason": (
        replace(INVENTORY, "client_name: gamma",
                "client_name: gamma\n          aviary_pin: {until: 2027-01-31}"),
        r"clients\.yml:17: .*aviary_pin.*no 'reason'"),
    "offboarding": (
        replace(INVENTORY, "client_name: gamma",
                "client_name: gamma\n          aviary_offboard: {date: 2027-03-31}"),
        r"clients\.yml:17: .*aviary_offboard.*not supported yet"),
    "Jinja where Aviary itself reads": (
        replace(INVENTORY, "client_name: gamma", 'client_name: "{{ inventory_hostname }}"'),
        r"clients\.yml:16: .*client_name"),
    "template with an unknown name": (
        replace(ENV, "{{domain}}", "{{domian}}"), r"env\.mustache:2: .*domian.*domain"),
    "template with an unknown secret": (
        append(ENV, "X={{secrets.nothing}}\n"), r"env\.mustache:5: .*secrets\.nothing"),
    "template with an unclosed section": (
        append(APPS, "{{#apps.api}}\n"), r"apps\.yml:10: .*apps\.api"),
    "template that is missing": (
        lambda fleet: (fleet.work / ENV).unlink(), r"env\.mustache"),
    "template that is a link out of the repository": (link_out, r"env\.mustache.*link"),
    "template that is a submodule": (add_submodule, r"env\.mustache.*submodule"),
    "template that is a pointer to large file storage": (
        write(ENV, "version https://git-lfs.github.com/spec/v1\n"
              f"oid sha256:{'0' * 64}\nsize 12\n"), r"env\.mustache.*LFS"),
    "secrets that are damaged": (damage_value, r"alpha\.sops\.yaml.*MAC"),
    "secrets for another key": (encrypt_for_others, r"alpha\.sops\.yaml.*(identity|key)"),
    "secrets that are not encrypted": (
        write(ALPHA_SECRETS, "database_password: plain\n"), r"alpha\.sops\.yaml"),
    "a file beside the secrets that is not encrypted": (
        write("secrets/old.yaml", "password: plain\n"), r"secrets/old\.yaml"),
    "secrets that are missing": (
        lambda fleet: (fleet.work / ALPHA_SECRETS).unlink(), r"database_password"),
    "image without a tag": (
        replace(APPS, "api:1.0.0", "api"), r"apps\.yml:4: .*no tag"),
    "image that is latest": (
        replace(APPS, "api:1.0.0", "api:latest"), r"apps\.yml:4: .*latest"),
    "version that YAML reads as a number": (
        append(VARIABLES, "api_version: 28.10\n"), r"all\.yml:3: .*28\.1.*\"28\.10\""),
    "app that changes on no canary": (
        lambda fleet: (fleet.edit(POLICY, "verify:",
                                  "policy: {canary_coverage: refuse}\nverify:"),
                       fleet.edit(INVENTORY, "apps: [api, web]", "apps: [api]"),
                       fleet.edit(APPS, "web:2.0.0", "web:2.0.1")), r"web.*canary|canary.*web"),
}


def poll_until_looked(fleet):
    looks = fleet.service.api("status")["looks"]
    fleet.service.deliver(fleet.payload("0" * 40, fleet.head()))
    fleet.wait_for("another look", lambda: fleet.service.api("status")["looks"] > looks)
    fleet.settle()


@pytest.mark.parametrize("name", CASES)
def test_refused(fleet, name):
    break_it, pattern = CASES[name]
    hosts = {client: fleet.state_of(client) for client in CLIENTS}
    records = {client: fleet.record(client) for client in CLIENTS}
    tip, count = fleet.tip(), len(fleet.activations())
    break_it(fleet)
    commit = fleet.push(name)
    fleet.settle()
    (fact,) = fleet.history(since=tip)
    rollout = fleet.rollout(commit)
    assert fact.subject == f"rollout({rollout['id']}): refused"
    assert (fact.result, fact.source_commit) == ("refused", commit)
    assert rollout["state"] == "refused" and not rollout.get("stages")
    assert any(re.search(pattern, reason) for reason in rollout["reasons"]), rollout["reasons"]
    assert fact.all("Reason") == [reason.replace("\n", " ") for reason in rollout["reasons"]]
    # nothing is touched, and it is looked at again only for a new commit
    tip = fleet.tip()
    poll_until_looked(fleet)
    assert fleet.tip() == tip
    assert len(fleet.activations()) == count
    assert {client: fleet.state_of(client) for client in CLIENTS} == hosts
    assert {client: fleet.record(client) for client in CLIENTS} == records
    assert "own-password" not in fleet.service.log()


def test_all_mistakes_are_told_at_once(fleet):
    fleet.edit(POLICY, "verify:", "verfy:")
    fleet.edit(POLICY, "batch: 2", "batch: 0")
    commit = fleet.push("Two mistakes")
    fleet.settle()
    assert len(fleet.rollout(commit)["reasons"]) == 2


def test_five_mistakes_in_five_places_are_told_at_once(fleet):
    fleet.edit(ENV, "{{domain}}", "{{domian}}")
    fleet.edit(APPS, "web:2.0.0", "web:latest")
    fleet.write("secrets/plain.yaml", "a: b\n")
    damage_value(fleet)
    fleet.edit(APPS, "api:1.0.0", "api:{{nobody_knows}}")
    commit = fleet.push("Five mistakes")
    fleet.settle()
    text = "\n".join(fleet.rollout(commit)["reasons"])
    for needle in ("domian", "latest", "MAC", "secrets/plain.yaml", "nobody_knows"):
        assert needle in text


def test_a_refused_commit_is_not_tried_again_after_a_restart(fleet):
    fleet.edit(ENV, "{{domain}}", "{{domian}}")
    commit = fleet.push("A mistake")
    fleet.settle()
    fleet.service.stop()
    fleet.start().settle()
    assert fleet.ends(commit) == ["refused"]
    assert fleet.command("apply").returncode == 1


def test_a_fix_after_a_refused_commit_is_rolled_out(fleet):
    fleet.edit(APPS, "api:1.0.0", "api:latest")
    fleet.push("A mistake")
    fleet.settle()
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]
