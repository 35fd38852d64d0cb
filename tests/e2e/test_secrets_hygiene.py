"""Secret values are where they belong and nowhere else: planted ones, looked for everywhere.

A full life with an `activate` that prints what it gets: good, bad, rolled back, refused; then each
log, argument list, environment, commit, object, record and file is searched.
"""

import base64
import gzip
import json
import re
import signal
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from tests.lib.fleet import (API_TOKEN, AVIARY, CLIENTS, PATIENCE_S, WEBHOOK_SECRET, Fleet,
                             environment, tell)
from tests.lib.gitserver import git

SHARED = "Sh4red-PLANTED-p&ss\"w'rd/+="
OWN = {client: f"0wn-PLANTED-{client}-{number}x9%2F<>" for number, client in enumerate(CLIENTS)}
NEW = "N3w-PLANTED-value-of-alpha"
# What a hostile or clumsy `activate` does with it: whole, in pieces, on both outputs, encoded
LOUD = """
cat .env compose.yaml
cat .env >&2
password=$(sed -n 's/^DATABASE_PASSWORD=//p' .env)
echo "mysql --password=$password failed" >&2
printf '%s' "$password" | base64
printf 'begin %s' "$password"; sleep 0.05; printf '%s end\\n' "$password"
printf '%s' "$password" | { head -c 7; sleep 0.05; cat; }
echo
"""


def live(fleet):
    """Everything that can print or keep a value, ending with a running service."""
    fleet.write_secrets("shared", mail_password=SHARED)
    for client in CLIENTS:
        fleet.write_secrets(f"clients/{client}", database_password=OWN[client])
    fleet.write("docker/check", fleet.read("docker/check").replace(
        "client=$(", "cat .env; cat .env >&2; client=$("))
    fleet.script("all", LOUD)
    commits = {"first": fleet.commit("Planted")}
    git(fleet.work, "push", "-q", "origin", "main")
    fleet.start("--log-format", "text", env={
        "AVIARY_LOG_LEVEL": "debug", "SOPS_AGE_KEY_CMD": f"touch {fleet.folder}/ran"}).settle()
    fleet.script("alpha", 'if grep -q api:1.0.1 compose.yaml; then cat .env; exit 1; fi\n')
    commits["fails"] = fleet.upgrade("1.0.1")
    fleet.settle()
    fleet.script("alpha", "")
    fleet.sick("all", "api:1.0.2")
    commits["sick"] = fleet.upgrade("1.0.2")
    fleet.settle()
    fleet.write_secrets("clients/alpha", database_password=NEW)
    fleet.upgrade("1.0.3")
    fleet.settle()
    fleet.edit("templates/env.mustache", "{{secrets.mail_password}}",
               "{{secrets.mail_password}}{{secrets.mail_pasword}}")
    commits["refused"] = fleet.push("A mistake beside a secret")
    fleet.settle()
    fleet.write("secrets/clients/beta.sops.yaml",
                re.sub(r"data:....", "data:AAAA", fleet.read("secrets/clients/beta.sops.yaml")))
    commits["damaged"] = fleet.push("Damaged")
    fleet.settle()
    fleet.edit("templates/env.mustache", "{{secrets.mail_pasword}}", "")
    git(fleet.work, "checkout", "-q", commits["first"], "--", "secrets/clients/beta.sops.yaml")
    fleet.hold_back("alpha")
    commits["running"] = fleet.upgrade("1.0.4")
    fleet.wait_for_activation("alpha", commits["running"])
    return commits


@pytest.fixture(name="world", scope="module")
def make_world(fleets, checks):
    fleet = Fleet(fleets / "hygiene", checks).make()
    try:
        yield fleet, live(fleet)
    except BaseException:
        tell(fleet)
        raise
    finally:
        fleet.let_go("alpha")
        fleet.close()


@pytest.fixture(name="fleet", scope="module")
def get_fleet(world):
    return world[0]


def age_keys(fleet):
    text = (fleet.folder / "keys/age-key.txt").read_text()
    return re.findall(r"AGE-SECRET-KEY-\w+", text)


def spellings(value):
    """A value and what it becomes in a JSON text, a URL, or base64 (at its three offsets)."""
    found = {value, json.dumps(value)[1:-1], urllib.parse.quote(value, safe="")}
    for shift in range(3):
        code = base64.b64encode(b"x" * shift + value.encode()).decode()
        found.add(code[4 if shift else 0:-4])
    return found


def planted(fleet):
    values = {SHARED, NEW, *OWN.values(), WEBHOOK_SECRET, API_TOKEN, *age_keys(fleet)}
    return {spelling.encode() for value in values for spelling in spellings(value)
            } | {b"PLANTED"}


def leaks(fleet, places):
    """(place, value) of all that stands in one of {place: bytes}."""
    return [(str(place), value) for place, text in places.items() for value in planted(fleet)
            if value in text]


def files_below(folder):
    found = {}
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            found[path] = path.read_bytes()
    return found


def objects(repository):
    """All objects of a repository, decompressed, loose and packed."""
    done = subprocess.run(["git", "-C", str(repository), "cat-file", "--batch-all-objects",
                           "--batch", "--unordered"], stdout=subprocess.PIPE, check=True,
                          env=environment(), timeout=60)
    assert done.stdout
    return done.stdout


def descendants(pid):
    """Pids of a process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += descendants(int(child))
    return found


def test_the_values_arrived_where_they_belong(fleet):
    for client in CLIENTS:
        env = (fleet.root(client) / "current/.env").read_text()
        value = NEW if client == "alpha" else OWN[client]
        assert f"DATABASE_PASSWORD={value}\n" in env and f"MAIL_PASSWORD={SHARED}\n" in env
        assert (fleet.root(client) / "current/.env").stat().st_mode & 0o777 == 0o600


def test_no_host_holds_the_values_of_another_client(fleet):
    for client in CLIENTS:
        others = [OWN[other].encode() for other in CLIENTS if other != client]
        if client != "alpha":
            others.append(NEW.encode())
        for path, text in files_below(fleet.root(client)).items():
            assert not any(value in text for value in others), path


def test_no_log_has_a_value(fleet):
    logs = {path: text for path, text in files_below(fleet.state / "logs").items()}
    assert any(b"mysql --password=" in text for text in logs.values())  # it was loud
    assert leaks(fleet, logs | {"log": fleet.service.log_file.read_bytes()}) == []


def test_no_file_of_the_state_folder_has_a_value(fleet):
    assert leaks(fleet, files_below(fleet.state)) == []
    for path, text in files_below(fleet.state).items():
        if text[:2] == b"\x1f\x8b":
            assert leaks(fleet, {path: gzip.decompress(text)}) == []


def test_no_object_of_the_mirror_or_the_forge_has_a_value(fleet):
    assert leaks(fleet, {"mirror": objects(fleet.state / "mirror.git"),
                         "forge": objects(fleet.bare)}) == []


def test_no_commit_or_record_has_a_value(fleet):
    log = git(fleet.bare, "log", "-p", "--format=raw", "deployments").encode()
    assert b"rolled-back" in log
    tags = git(fleet.bare, "for-each-ref", "--format=%(contents)").encode()
    assert leaks(fleet, {"log": log, "tags": tags}) == []


def test_no_answer_of_the_api_has_a_value(fleet):
    paths = ["status", "clients", "rollouts"]
    paths += [f"rollouts/{each['id']}" for each in fleet.rollouts()]
    answers = {path: fleet.service.ask(f"/api/v1/{path}")[1] for path in paths}
    answers["status command"] = fleet.command("status").stdout.encode()
    answers["history command"] = fleet.command("history", "--json").stdout.encode()
    assert leaks(fleet, answers) == []


def test_no_argument_list_or_environment_has_a_value(fleet):
    found, names = {}, []
    for pid in descendants(fleet.service.process.pid):
        for name in ("cmdline", "environ"):
            try:
                found[f"/proc/{pid}/{name}"] = Path(f"/proc/{pid}/{name}").read_bytes()
            except PermissionError:
                pass  # not even its own user may look, because it is not dumpable
            except (FileNotFoundError, ProcessLookupError):
                continue
        names.append(pid)
    assert len(names) >= 2  # the service, and the activation that waits
    assert leaks(fleet, found) == []
    activations = [text for name, text in found.items()
                   if name.endswith("environ") and b"AVIARY_CLIENT=alpha" in text]
    assert activations


def test_an_activation_sees_nothing_of_the_environment_of_the_service(fleet):
    for pid in descendants(fleet.service.process.pid)[1:]:
        try:
            text = Path(f"/proc/{pid}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        names = {pair.split(b"=")[0].decode() for pair in text.split(b"\0") if pair}
        assert "AVIARY_LOG_LEVEL" not in names
        assert not any(name.startswith("SOPS_") for name in names)


def test_the_service_leaves_no_core_file_and_is_not_dumpable(fleet):
    pid = fleet.service.process.pid
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
    # what belongs to root in /proc/PID is how the kernel shows that a process is not dumpable
    assert Path(f"/proc/{pid}/environ").stat().st_uid == 0


def test_no_program_is_run_to_get_at_keys(fleet):
    key = fleet.folder / "keys/age-key.txt"
    done = subprocess.run([AVIARY, "validate", "--age-key-file", key, fleet.work], check=False,
                          env=environment() | {"SOPS_AGE_KEY_CMD": f"touch {fleet.folder}/ran"},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S)
    assert done.returncode in (0, 1), done.stdout  # it ran
    assert not (fleet.folder / "ran").exists()


def test_the_keys_are_in_no_file_but_their_own(fleet):
    text = b"".join(age.encode() for age in age_keys(fleet))
    assert text
    for path, content in files_below(fleet.folder).items():
        if path.parent.name != "keys":
            assert text not in content, path


def test_keys_in_the_environment_are_overwritten_there(fresh_fleet):
    fleet = fresh_fleet
    key = (fleet.folder / "keys/age-key.txt").read_text()
    fleet.configure(**{f'age_key_file: "{fleet.folder}/keys/age-key.txt"\n': ""})
    fleet.start(env={"SOPS_AGE_KEY": key}).settle()
    fleet.service.process.send_signal(signal.SIGHUP)  # must not lose it
    fleet.wait_for("the reload", lambda: "keys reloaded" in fleet.service.log())
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]  # it could decrypt
    try:
        environ = Path(f"/proc/{fleet.service.process.pid}/environ").read_bytes()
    except PermissionError:
        pytest.skip("only root may read the environment of a process that is not dumpable")
    assert b"AGE-SECRET-KEY" not in environ
