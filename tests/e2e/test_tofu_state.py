"""The state backend for OpenTofu: a plain HTTP client, and the real tofu and terraform.

What has been answered is on the remote; states are encrypted there, each version is a commit, and a
machine that knows nothing goes on from it.
"""

import base64
import json
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from tests.lib.fleet import API_TOKEN, PATIENCE_S, environment, fetch, sops, wait_for
from tests.lib.gitserver import git

SECRET = "a-secret-inside-of-a-state"
BRANCH = "tofu-state"
FILE = "provision/state.age"
MAIN = """\
terraform {
  backend "http" {}
}
variable "clients" {
  type = set(string)
}
resource "terraform_data" "host" {
  for_each = var.clients
  input    = each.key
}
"""


def lock(number, who="eva@desk"):
    return {"ID": f"lock-{number}", "Operation": "OperationTypeApply", "Who": who}


class Backend:
    """What tofu does, by hand."""

    def __init__(self, fleet, service=None):
        self.service = service or fleet.service
        self.url = wait_for("the backend to listen", self.find_url, self.service.check_alive)

    def find_url(self):
        found = re.findall(r"\blistening\b.*\baddress=\"?([\d.]+:\d+)", self.service.log())
        return found and len(found) % 2 == 0 and f"http://{found[-1]}/tofu/"

    def ask(self, method, name="provision", body=None, token=API_TOKEN, lock_id=""):
        headers = {}
        if token is not None:
            words = base64.b64encode(f"aviary:{token}".encode()).decode()
            headers["Authorization"] = f"Basic {words}"
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        query = f"?ID={lock_id}" if lock_id else ""
        request = urllib.request.Request(self.url + name + query, data, headers, method=method)
        status, _, answer = fetch(request)
        return status, answer.decode()


def listens(fleet, service=None):
    """Configure and start a service with a backend on any port."""
    service = service or fleet.service
    with open(service.config, "a", encoding="utf-8") as config:
        config.write("tofu: {listen: 127.0.0.1:0}\n")
    service.start()
    return Backend(fleet, service)


def state(serial, text=SECRET):
    return {"version": 4, "serial": serial, "lineage": "l", "outputs": {"x": {"value": text}}}


def opened(fleet, sealed, key):
    """What age makes of it with a key; None if it does not open."""
    done = subprocess.run(["age", "-d", "-i", fleet.folder / "keys" / key], input=sealed,
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout) if done.returncode == 0 else None


def subjects(fleet):
    return git(fleet.bare, "log", "--reverse", "--format=%s", BRANCH).splitlines()


def test_a_state_is_kept_as_versions_that_only_recipients_can_read(idle_fleet):
    fleet, backend = idle_fleet, listens(idle_fleet)
    assert backend.ask("GET")[0] == 404
    assert backend.ask("POST", body=state(1))[0] == 200
    assert backend.ask("POST", body=state(2))[0] == 200
    assert backend.ask("POST", "other", body=state(7))[0] == 200
    status, text = backend.ask("GET")
    assert status == 200 and json.loads(text) == state(2)
    assert subjects(fleet) == ["tofu(provision): written"] * 2 + ["tofu(other): written"]
    assert git(fleet.bare, "log", "-1", "--format=%(trailers:key=Author,valueonly)", BRANCH) == "eva"
    for version, serial in (("~2", 1), ("~1", 2)):
        sealed = subprocess.run(["git", "-C", fleet.bare, "show", f"{BRANCH}{version}:{FILE}"],
                                check=True, stdout=subprocess.PIPE).stdout
        assert sealed.startswith(b"age-encryption.org/v1") and SECRET.encode() not in sealed
        assert opened(fleet, sealed, "age-key.txt") == state(serial)
    assert backend.ask("DELETE")[0] == 200
    assert backend.ask("GET")[0] == 404 and backend.ask("GET", "other")[0] == 200
    assert SECRET not in fleet.service.log()


def test_whoever_may_read_the_shared_secrets_may_read_the_state(idle_fleet):
    fleet = idle_fleet
    fleet.write_key("other.txt", sops("keygen"))
    fleet.write_key("both.txt", (fleet.folder / "keys/age-key.txt").read_text()
                    + (fleet.folder / "keys/other.txt").read_text())
    fleet.write("secrets/shared.sops.yaml", sops("encrypt", str(fleet.folder / "keys/both.txt"),
                                                 text="mail_password: shared-mail-password\n"))
    backend = listens(fleet)
    fleet.settle()
    assert backend.ask("POST", body=state(1))[0] == 200
    # Only a commit that was deployed says who may read.
    fleet.push("one more reader, and nothing that changes a client")
    fleet.settle()
    fleet.upgrade("1.0.1")
    fleet.settle()
    assert backend.ask("POST", body=state(2))[0] == 200
    show = ["git", "-C", fleet.bare, "show"]
    before, after = (subprocess.run([*show, f"{BRANCH}{version}:{FILE}"], check=True,
                                    stdout=subprocess.PIPE).stdout for version in ("~1", ""))
    assert opened(fleet, before, "other.txt") is None
    assert opened(fleet, after, "other.txt") == opened(fleet, after, "age-key.txt") == state(2)


def test_a_new_age_key_counts_after_a_reload(idle_fleet):
    fleet, backend = idle_fleet, listens(idle_fleet)
    assert backend.ask("POST", body=state(1))[0] == 200
    old = (fleet.folder / "keys/age-key.txt").read_text()
    fleet.write_key("age-key.txt", sops("keygen"))
    fleet.service.process.send_signal(signal.SIGHUP)
    fleet.wait_for("the end of the reload", lambda: "keys reloaded" in fleet.service.log())
    status, text = backend.ask("GET")
    assert status >= 500 and "state.age" in text
    fleet.wait_for("a write", lambda: backend.ask("POST", body=state(2))[0] == 200)
    assert json.loads(backend.ask("GET")[1]) == state(2)
    fleet.write_key("age-key.txt", old)  # of the shared secrets: it can read what came meanwhile
    fleet.service.process.send_signal(signal.SIGHUP)
    fleet.wait_for("the old key", lambda: json.loads(backend.ask("GET")[1]) == state(2))


def test_who_has_no_token_that_may_write_reads_nothing(idle_fleet):
    fleet = idle_fleet
    fleet.write_key("reader", "reader-token-0123456789")
    fleet.configure(**{"api: {tokens: [": f'api: {{tokens: [{{name: joe, file: "{fleet.folder}'
                       '/keys/reader", may: [read, approve]}, '})
    backend = listens(fleet)
    assert backend.ask("POST", body=state(1))[0] == 200
    for token, status in ((None, 401), ("wrong", 401), ("", 401), ("reader-token-0123456789", 403)):
        for method in ("GET", "POST", "DELETE", "LOCK", "UNLOCK"):
            body = None if method in ("GET", "DELETE") else lock(1)
            assert backend.ask(method, body=body, token=token)[0] == status, (token, method)
    assert json.loads(backend.ask("GET")[1]) == state(1)


def test_only_the_holder_of_a_lock_writes_and_unlocks(idle_fleet):
    fleet, backend = idle_fleet, listens(idle_fleet)
    assert backend.ask("LOCK", body=lock(1))[0] == 200
    assert backend.ask("LOCK", body=lock(1))[0] == 200  # its answer was lost
    status, text = backend.ask("LOCK", body=lock(2))
    assert status == 423 and json.loads(text) == lock(1)
    assert backend.ask("LOCK", "other", body=lock(2))[0] == 200
    for wrong in ("", "lock-2"):
        status, text = backend.ask("POST", body=state(1), lock_id=wrong)
        assert status == 409 and json.loads(text) == lock(1)
    assert backend.ask("DELETE", lock_id="lock-2")[0] == 409
    assert backend.ask("UNLOCK", body=lock(2))[0] == 409
    assert backend.ask("POST", body=state(1), lock_id="lock-1")[0] == 200
    assert backend.ask("UNLOCK", body=lock(1))[0] == 200
    assert backend.ask("UNLOCK", body=lock(1))[0] == 200  # likewise
    # Work that began under a lock which somebody broke must not undo what came after it.
    status, text = backend.ask("POST", body=state(2), lock_id="lock-1")
    assert status == 409 and "not held any more" in text
    assert subjects(fleet) == ["tofu(provision): locked", "tofu(other): locked",
                               "tofu(provision): written", "tofu(provision): unlocked"]


def test_what_is_no_state_or_lock_is_refused(idle_fleet):
    fleet, backend = idle_fleet, listens(idle_fleet)
    for body in (b"", b"x", b"[1]", b"\0{}"):
        assert backend.ask("POST", body=body)[0] == 400, body
    for body in (b"", b"{}", b'{"ID": 7}', b'{"ID": ""}', b"[" * 100000,
                 json.dumps({"ID": "x" * 500}).encode()):
        assert backend.ask("LOCK", body=body)[0] == 400, body[:20]
    for name in ("..", "A", "a" * 32, "1", "a%2Fb", "a%00", "-a"):
        assert backend.ask("GET", name)[0] == 404, name
        assert backend.ask("POST", name, body=state(1))[0] == 404, name
    assert BRANCH not in git(fleet.bare, "branch")


def test_a_write_that_the_remote_does_not_take_is_no_success(idle_fleet):
    fleet, backend = idle_fleet, listens(idle_fleet)
    assert backend.ask("POST", body=state(1))[0] == 200
    hook = fleet.bare / "hooks/update"
    hook.write_text("#!/bin/sh\necho 'no states today' >&2\nexit 1\n")
    hook.chmod(0o755)
    status, text = backend.ask("POST", body=state(2))
    assert status == 503 and "declined" in text
    assert backend.ask("LOCK", body=lock(1))[0] == 503
    hook.unlink()
    assert json.loads(backend.ask("GET")[1]) == state(1)
    assert backend.ask("LOCK", body=lock(1))[0] == 200


def test_a_branch_that_lost_a_state_is_not_taken_for_no_state(idle_fleet):
    fleet, backend = idle_fleet, listens(idle_fleet)
    assert backend.ask("POST", body=state(1))[0] == 200
    first = git(fleet.bare, "rev-parse", BRANCH)
    assert backend.ask("POST", body=state(2))[0] == 200
    last = git(fleet.bare, "rev-parse", BRANCH)
    git(fleet.bare, "update-ref", f"refs/heads/{BRANCH}", first)
    status, text = backend.ask("GET")
    assert status == 503 and "shorter" in text
    git(fleet.bare, "update-ref", "-d", f"refs/heads/{BRANCH}")
    for method, body in (("GET", None), ("POST", state(3)), ("LOCK", lock(1))):
        status, text = backend.ask(method, body=body)
        assert status == 503 and "missing" in text, method
    git(fleet.bare, "update-ref", f"refs/heads/{BRANCH}", last)
    assert json.loads(backend.ask("GET")[1]) == state(2)


def test_two_services_share_locks_and_states(idle_fleet):
    fleet, first = idle_fleet, listens(idle_fleet)
    fleet.settle()
    second = fleet.second()
    second.start()
    other = Backend(fleet, second)
    assert first.ask("LOCK", body=lock(1))[0] == 200
    assert other.ask("LOCK", body=lock(2))[0] == 423
    assert first.ask("POST", body=state(1), lock_id="lock-1")[0] == 200
    assert json.loads(other.ask("GET")[1]) == state(1)
    assert other.ask("POST", body=state(2))[0] == 409
    assert first.ask("UNLOCK", body=lock(1))[0] == 200
    assert other.ask("LOCK", body=lock(2))[0] == 200


def test_the_backend_listens_on_this_machine_only(idle_fleet):
    fleet = idle_fleet
    with open(fleet.service.config, "a", encoding="utf-8") as config:
        config.write("tofu: {listen: 0.0.0.0:8751}\n")
    done = fleet.command("serve", "--check")
    assert done.returncode == 2 or done.returncode == 1
    assert "'tofu.listen' is '0.0.0.0:8751'" in done.stdout + done.stderr


# ---- the real thing


def find_program(name):
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


class Program:
    """tofu or terraform in a folder of its own."""

    def __init__(self, program, folder, backend):
        self.program, self.folder = program, folder
        folder.mkdir()
        (folder / "main.tf").write_text(MAIN)
        (folder / "rc").write_text("")
        url = backend.url + "provision"
        self.env = environment() | {
            "TF_HTTP_ADDRESS": url, "TF_HTTP_LOCK_ADDRESS": url, "TF_HTTP_UNLOCK_ADDRESS": url,
            "TF_HTTP_USERNAME": "aviary", "TF_HTTP_PASSWORD": API_TOKEN, "TF_IN_AUTOMATION": "1",
            "TF_CLI_CONFIG_FILE": str(folder / "rc"), "CHECKPOINT_DISABLE": "1"}

    def run(self, *arguments, status=0):
        done = subprocess.run([self.program, f"-chdir={self.folder}", *arguments], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env,
                              encoding="utf-8", timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
        assert done.returncode == status, done.stdout
        return done.stdout

    def plan(self, *clients, status):
        (self.folder / "clients.auto.tfvars.json").write_text(json.dumps({"clients": clients}))
        return self.run("plan", "-input=false", "-no-color", "-detailed-exitcode", "-out=plan",
                        status=status)


@pytest.mark.parametrize("name", ["tofu", "terraform"])
def test_a_new_machine_plans_no_change_with_the_real(name, idle_fleet):
    fleet = idle_fleet
    program = find_program(name)
    backend = listens(fleet)
    first = Program(program, fleet.folder / "first", backend)
    first.run("init", "-input=false", "-no-color")
    first.plan("alpha", "beta", status=2)
    first.run("apply", "-no-color", "plan")
    # While somebody holds the lock nobody plans, and is told who it is.
    assert backend.ask("LOCK", body=lock(1, "eva@desk"))[0] == 200
    assert "lock-1" in first.plan("alpha", status=1)
    first.run("force-unlock", "-force", "lock-1")
    fleet.service.stop()
    shutil.rmtree(fleet.state)
    shutil.rmtree(first.folder)
    fleet.service.start()
    second = Program(program, fleet.folder / "second", Backend(fleet))
    second.run("init", "-input=false", "-no-color")
    assert "No changes" in second.plan("alpha", "beta", status=0)
    second.plan("alpha", status=2)
    second.run("apply", "-no-color", "plan")
    shown = json.loads(second.run("show", "-json"))
    assert [each["index"] for each in shown["values"]["root_module"]["resources"]] == ["alpha"]
