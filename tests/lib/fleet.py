"""A small fleet of its own for a test: infra repository, SOPS files, hosts in folders, the service.

    fleet.edit(APPS, "api:1.0.0", "api:1.0.1")
    commit = fleet.push("upgrade")          # commit, push, signed webhook
    fleet.settle()                          # until the service has done all that it asks for
    assert fleet.results(commit) == {"alpha": ["succeeded"], ...}

What `activate` does is written into files by the test (`fleet.script`), what checks say too
(`fleet.sick`); each activation leaves lines in a log (`fleet.activations`).
"""

import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import yaml

from tests.lib.gitserver import ENVIRONMENT, git
from tests.lib.webserver import WebServer

ROOT = Path(__file__).resolve().parents[2]
AVIARY = os.environ.get("AVIARY", str(ROOT / "build/aviary"))
BUILD = Path(os.environ.get("AVIARY_BUILD", ROOT / "build"))
CLIENTS = ("alpha", "beta", "gamma", "delta", "epsilon")
WITH_API = ("alpha", "beta", "gamma", "delta")
WITH_WEB = ("alpha", "beta", "epsilon")
APPS = "docker/apps.yml"
POLICY = "fleet.yaml"
INVENTORY = "ansible/inventory/clients.yml"
VARIABLES = "ansible/group_vars/all.yml"
PATIENCE_S = 180  # for any fact; what takes longer never comes. Sanitizers on a busy machine are slow
FINAL = ("succeeded", "failed", "rolled-back", "skipped", "superseded")

POLICY_TEXT = """\
version: 1
inventory: ansible/inventory/clients.yml
stages:
  - {name: canary, group: canary, bake: 200ms}
  - {name: production, group: production, batch: 2}
release:
  files:
    - {from: docker/apps.yml, to: compose.yaml}
    - {from: templates/env.mustache, to: .env, mode: "0600"}
    - {from: docker/activate, to: activate, mode: "0755", template: false}
    - {from: docker/check, to: check, mode: "0755", template: false}
driver:
  kind: local
  root: "{{fleet_root}}/{{client_name}}"
  activate: [./activate]
  activate_timeout: 20s
checks:
  api: {command: [./check], timeout: 5s}
  web: {http: "http://127.0.0.1:{{check_port}}/{{client_name}}", json: {well: true}, timeout: 5s}
verify: {interval: 100ms, healthy: 1, timeout: 1500ms}
"""

INVENTORY_TEXT = """\
all:
  children:
    canary:
      hosts:
        alpha:
          client_name: alpha
          domain: alpha.example.org
          apps: [api, web]
    production:
      hosts:
        beta:
          client_name: beta
          domain: beta.example.org
          apps: [api, web]
        gamma:
          client_name: gamma
          domain: gamma.example.org
          apps: [api]
        delta:
          client_name: delta
          domain: delta.example.org
          apps: [api]
        epsilon:
          client_name: epsilon
          domain: epsilon.example.org
          apps: [web]
"""

APPS_TEXT = """\
services:
{{#apps.api}}
  api:
    image: registry.example.org/api:1.0.0
{{/apps.api}}
{{#apps.web}}
  web:
    image: registry.example.org/web:2.0.0
{{/apps.web}}
"""

ENV_TEXT = """\
CLIENT={{client_name}}
DOMAIN={{domain}}
MAIL_PASSWORD={{secrets.mail_password}}
DATABASE_PASSWORD={{secrets.database_password}}
"""

# A line of the log is one write, so that clients may log at once. FILE.sh is the test's own.
ACTIVATE_TEXT = """\
#!/bin/sh
control=CONTROL
note() {
	echo "$1 $AVIARY_CLIENT $AVIARY_ACTION $AVIARY_STAGE $AVIARY_ROLLOUT $AVIARY_COMMIT" \\
		"$AVIARY_RELEASE $(pwd)" >> "$control/activations"
}
note start
for script in "$control/all.sh" "$control/$AVIARY_CLIENT.sh"; do
	if [ -e "$script" ]; then . "$script"; fi
done
note end
"""

# Sick is a client with a file NAME.sick, of which each line is looked for in its release.
CHECK_TEXT = """\
#!/bin/sh
control=CONTROL
client=$(sed -n 's/^CLIENT=//p' .env)
for file in "$control/$client.sick" "$control/all.sick"; do
	if [ -e "$file" ] && grep -qFf "$file" compose.yaml .env; then
		echo "$client is sick"
		exit 1
	fi
done
"""

CONFIG_TEXT = """\
listen: 127.0.0.1:0
state_dir: "{folder}/state"
repository: {{url: "{folder}/forge/demo/infra.git", branch: main, poll_interval: {poll}}}
status: {{branch: deployments, author: "Aviary <aviary@example.org>"}}
webhooks: [{{forge: gitea, secret_file: "{folder}/keys/webhook-secret"}}]
age_key_file: "{folder}/keys/age-key.txt"
api: {{tokens: [{{name: eva, file: "{folder}/keys/api-token", may: [read, write]}}]}}
"""

WEBHOOK_SECRET = "webhook-secret-of-the-tests"
API_TOKEN = "api-token-of-the-tests-0123456789"


def environment():
    """Ours, without what would change how git or the service behave."""
    taken = ("GIT_", "AVIARY_", "SOPS_AGE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(taken)}
    return dict(env, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8")


def read_yaml(text):
    """As yaml.safe_load, by libyaml where Python has it: ten times as fast."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def wait_for(what, fact, still_alive=lambda: None):
    """Until fact() gives something true, which is returned."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := fact()):
        still_alive()
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.03)
    return answer


def fetch(request, timeout=PATIENCE_S):
    """(status, headers, body) of an HTTP request to this machine, whatever the proxy settings."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
    except http.client.HTTPException as error:
        raise OSError(f"cut short: {error!r}") from error


def sops(*arguments, text=None):
    """stdout of build/tests/sops_make."""
    done = subprocess.run([BUILD / "tests/sops_make", *arguments], input=text, check=True,
                          stdout=subprocess.PIPE, encoding="utf-8", env=environment())
    return done.stdout


class CheckServer(WebServer):
    """What `http` checks ask: /NAME answers whether that client is well."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            client = self.path[1:]
            self.server.asked.append(client)
            well = client not in self.server.sick
            if client in self.server.flapping:
                well = self.server.asked.count(client) % 2 == 0
            body = json.dumps({"well": well}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def __init__(self):
        super().__init__(self.Handler)
        self.sick, self.flapping, self.asked = set(), set(), []

    def reset(self):
        self.sick.clear()
        self.flapping.clear()
        self.asked.clear()

    def handle_error(self, request, client_address):
        pass  # a check that is given up closes its connection


class Fact:
    """A commit of the status branch."""

    def __init__(self, text):
        self.id, self.subject, trailers = text.split("\n", 2) if text.count("\n") > 1 else (
            *text.split("\n", 1), "")
        self.pairs = [tuple(line.split(": ", 1)) for line in trailers.splitlines()]

    def all(self, key):
        return [value for name, value in self.pairs if name == key]

    def get(self, key):
        """The only value of a trailer; "" without it."""
        values = self.all(key)
        assert len(values) <= 1, f"{key} is there {len(values)} times: {self}"
        return values[0] if values else ""

    def __getattr__(self, name):
        return self.get(name.replace("_", "-").title())

    def __repr__(self):
        return f"<{self.subject} {self.pairs}>"


class Activation:
    """A line of the log that `activate` writes."""

    def __init__(self, line):
        (self.what, self.client, self.action, self.stage, self.rollout, self.commit, self.release,
         self.folder) = line.split(" ", 7)

    def __repr__(self):
        return f"<{self.what} {self.client} {self.action} {self.commit[:7]}>"


class Service:
    """`aviary serve` as a process, its log in a file."""

    def __init__(self, config, log):
        self.config, self.log_file = config, log
        self.process = self.url = None

    def start(self, *arguments, ready=True, env=None):
        self.url = None
        begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [AVIARY, "serve", "-c", str(self.config), *arguments], stdin=subprocess.DEVNULL,
                env=environment() | (env or {}), stdout=log, stderr=log, start_new_session=True)

        def listening():
            text = self.log_file.read_bytes()[begin:].decode(errors="replace")
            found = re.search(r"\blistening\b.*\baddress=\"?([\d.]+:\d+)", text)
            return found and found[1]

        self.url = "http://" + wait_for("the service to listen", listening, self.check_alive)
        if ready:
            self.wait_for("/readyz", lambda: self.readyz()[0] == 200)
        return self

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended with status {self.process.returncode}:\n"
                                 + self.log())

    def wait_for(self, what, fact):
        return wait_for(what, fact, self.check_alive)

    def log(self):
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def readyz(self):
        status, _, body = fetch(self.url + "/readyz")
        return status, body.decode()

    def ask(self, path, method="GET", token=API_TOKEN, body=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else (body if isinstance(body, bytes)
                                          else json.dumps(body).encode())
        request = urllib.request.Request(self.url + path, data, headers=headers, method=method)
        status, _, body = fetch(request)
        return status, body

    def api(self, path):
        status, body = self.ask(f"/api/v1/{path}")
        assert status == 200, body
        return json.loads(body)

    def deliver(self, body, signature=None, event="push"):
        """A delivery as Gitea's; returns its status and headers."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if signature is None:
            signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(f"{self.url}/webhook/gitea", body, {
            "Content-Type": "application/json", "X-Gitea-Event": event,
            "X-Gitea-Delivery": str(uuid.uuid4()), "X-Gitea-Signature": signature})
        status, headers, _ = fetch(request)
        return status, headers

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """Exit status."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("the service did not stop:\n" + self.log()) from None

    def stop(self):
        self.terminate()
        assert self.wait() == 0, self.log()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()


class Fleet:
    """One fleet in one folder; its parts are made by make()."""

    def __init__(self, folder, checks):
        self.folder, self.checks = Path(folder), checks
        self.bare = self.folder / "forge/demo/infra.git"
        self.work = self.folder / "infra"
        self.control = self.folder / "control"
        self.state = self.folder / "state"
        self.service = Service(self.folder / "aviary.yaml", self.folder / "aviary.log")
        self.others = []

    # ---- making it

    def make(self, poll="1h"):
        for name in ("control", "hosts", "keys", "state"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "state").chmod(0o700)
        self.write_key("age-key.txt", sops("keygen"))
        self.write_key("webhook-secret", WEBHOOK_SECRET)
        self.write_key("api-token", API_TOKEN)
        self.configure(poll=poll)
        git(".", "init", "-q", "--bare", "-b", "main", self.bare)
        git(".", "init", "-q", "-b", "main", self.work)
        git(self.work, "remote", "add", "origin", self.bare)
        self.write_infra()
        self.commit("Five clients")
        git(self.work, "push", "-q", "origin", "main")
        return self

    def write_key(self, name, text):
        path = self.folder / "keys" / name
        path.write_text(text)
        path.chmod(0o600)

    def configure(self, poll="1h", **changes):
        """Write aviary.yaml; changes replace texts of it."""
        text = CONFIG_TEXT.format(folder=self.folder, poll=poll)
        for old, new in changes.items():
            text = text.replace(old, new)
        self.service.config.write_text(text)

    def write_infra(self):
        control = str(self.control)
        self.write(POLICY, POLICY_TEXT)
        self.write(INVENTORY, INVENTORY_TEXT)
        self.write(VARIABLES, f"fleet_root: {self.folder}/hosts\n"
                   f"check_port: {self.checks.port}\n")
        self.write(APPS, APPS_TEXT)
        self.write("templates/env.mustache", ENV_TEXT)
        self.write("docker/activate", ACTIVATE_TEXT.replace("CONTROL", control))
        self.write("docker/check", CHECK_TEXT.replace("CONTROL", control))
        self.write_secrets("shared", mail_password="shared-mail-password")
        for client in CLIENTS:
            self.write_secrets(f"clients/{client}", database_password=f"own-password-of-{client}")

    def write_secrets(self, name, **values):
        self.write(f"secrets/{name}.sops.yaml",
                   sops("encrypt", str(self.folder / "keys/age-key.txt"), text=yaml.dump(values)))

    def add_client(self, client, stage="production", apps="[api]"):
        """A sixth client, at the end of a stage."""
        entry = (f"        {client}:\n          client_name: {client}\n"
                 f"          domain: {client}.example.org\n          apps: {apps}\n")
        text = self.read(INVENTORY)
        if stage == "canary":
            text = text.replace("    production:\n", entry + "    production:\n")
        else:
            text += entry
        self.write(INVENTORY, text)
        self.write_secrets(f"clients/{client}", database_password=f"own-password-of-{client}")

    def remove_client(self, client):
        self.write(INVENTORY, re.sub(rf"        {client}:\n(          .*\n)+", "",
                                     self.read(INVENTORY)))

    # ---- the infra repository

    def read(self, path):
        return (self.work / path).read_text()

    def write(self, path, data):
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())

    def edit(self, path, old, new):
        text = self.read(path)
        assert old in text, f"{old!r} is not in {path}"
        self.write(path, text.replace(old, new, 1))

    def head(self):
        return git(self.work, "rev-parse", "HEAD")

    def commit(self, message="change"):
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def revert(self, commit):
        git(self.work, "revert", "--no-edit", commit, stderr=subprocess.DEVNULL)
        return self.send()

    def payload(self, before, after, ref="refs/heads/main"):
        return {"ref": ref, "before": before, "after": after, "commits": [],
                "repository": {"full_name": "demo/infra",
                               "html_url": "http://localhost/demo/infra"},
                "pusher": {"login": "eva"}}

    def send(self, webhook=True):
        """Push what is committed, and tell the service."""
        before = git(self.bare, "rev-parse", "main")
        git(self.work, "push", "-q", "origin", "main")
        if webhook:
            status, _ = self.service.deliver(self.payload(before, self.head()))
            assert status == 202, status
        return self.head()

    def push(self, message="change", webhook=True):
        self.commit(message)
        return self.send(webhook)

    def rewrite(self, message="another way"):
        """The newest commit is replaced by a forced push; returns what takes its place."""
        before = git(self.bare, "rev-parse", "main")
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--amend", "--allow-empty", "-m", message)
        git(self.work, "push", "-q", "--force", "origin", "main")
        if self.service.process and self.service.process.poll() is None:
            status, _ = self.service.deliver(self.payload(before, self.head()))
            assert status == 202, status
        return self.head()

    def upgrade(self, version, app="api", webhook=True):
        """Another version of an app; returns the commit."""
        self.write(APPS, re.sub(rf"(/{app}:).*", rf"\g<1>{version}", self.read(APPS)))
        return self.push(f"{app} {version}", webhook)

    # ---- the hosts

    def script(self, name, text):
        """What `activate` of a client (or `all`) does besides; "" = nothing."""
        self.put(f"{name}.sh", text)

    def sick(self, name, *needles):
        """Clients (or `all`) fail their command check whose release has one of these texts."""
        self.put(f"{name}.sick", "".join(needle + "\n" for needle in needles))

    def put(self, name, text):
        """Write a control file as a whole; "" removes it."""
        path = self.control / name
        if not text:
            path.unlink(missing_ok=True)
            return
        part = self.control / f"{name}.part"
        part.write_text(text)
        part.rename(path)

    def hold_back(self, name):
        """`activate` of a client (or `all`) waits until let_go()."""
        self.script(name, f'until [ -e "$control/go-{name}" ]; do sleep 0.02; done\n')

    def let_go(self, name):
        (self.control / f"go-{name}").touch()

    def activations(self, what="start", commit=None):
        path = self.control / "activations"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [Activation(line) for line in lines]
        return [each for each in found
                if what in ("", each.what) and commit in (None, each.commit)]

    def wait_for_activation(self, client, commit=None, what="start"):
        return self.wait_for(f"{what} of activate of {client}", lambda: [
            each for each in self.activations(what, commit) if each.client == client])[0]

    def root(self, client):
        return self.folder / "hosts" / client

    def state_of(self, client):
        """<root>/.aviary/state"""
        return read_yaml((self.root(client) / ".aviary/state").read_text())

    def runs(self, client, text):
        """Does the current release have this text in its compose file?"""
        return text in (self.root(client) / "current/compose.yaml").read_text()

    def versions(self, app="api"):
        """{client: version of its current release}"""
        found = {}
        for client in CLIENTS:
            text = (self.root(client) / "current/compose.yaml").read_text()
            match = re.search(rf"/{app}:(.*)", text)
            if match:
                found[client] = match[1]
        return found

    # ---- the service

    def start(self, *arguments, **options):
        self.service.start(*arguments, **options)
        return self

    def second(self, state="state2", **changes):
        """Another service on the same repository."""
        service = Service(self.folder / f"{state}.yaml", self.folder / f"{state}.log")
        text = self.service.config.read_text()
        service.config.write_text(text.replace(f'{self.folder}/state"', f'{self.folder}/{state}"'))
        self.others.append(service)
        return service

    def wait_for(self, what, fact):
        return self.service.wait_for(what, fact)

    def settle(self, commit=None):
        """Until the service has seen the newest commit (or that one) and nothing is left to do."""
        wanted = commit or git(self.bare, "rev-parse", "main")

        def is_done():
            status = self.service.api("status")
            return status["commit"] == wanted and status["idle"]

        self.wait_for(f"the end of what {wanted[:7]} asks for", is_done)

    def command(self, name, *arguments, check=False):
        """`aviary NAME -c CONFIG ...` to its end."""
        return subprocess.run([AVIARY, name, "-c", self.service.config, *arguments], check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                              env=environment(), timeout=PATIENCE_S, stdin=subprocess.DEVNULL)

    def in_clone(self, *arguments):
        """`aviary ...` in the work folder of the infra repository, without a configuration."""
        return subprocess.run([AVIARY, *arguments], cwd=self.work, check=False, env=environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                              timeout=PATIENCE_S, stdin=subprocess.DEVNULL)

    def close(self):
        """End everything; the services by SIGTERM, so that sanitizers report leaks."""
        services = [each for each in (self.service, *self.others)
                    if each.process and each.process.poll() is None]
        try:
            self.script("all", "")
            for service in services:
                service.terminate()
            for service in services:
                assert service.wait() == 0, service.log()
        finally:
            for service in services:
                service.kill()
            self.end_activations()

    def end_activations(self):
        """An `activate` that still waits ends when its folder goes; here without that wait."""
        mine = os.fsencode(self.folder) + b"/"
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "cwd").encode().startswith(mine):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue  # ended meanwhile, or not ours

    # ---- the status branch

    def has_branch(self):
        return bool(git(self.bare, "for-each-ref", "refs/heads/deployments"))

    def tip(self):
        return git(self.bare, "rev-parse", "deployments")

    def history(self, since=None):
        """All facts of the status branch, oldest first."""
        span = f"{since}..deployments" if since else "deployments"
        text = git(self.bare, "log", "--reverse", "--format=%H%n%s%n%(trailers:unfold,only)%x00",
                   span)
        return [Fact(part.strip("\n")) for part in text.split("\0") if part.strip("\n")]

    def facts(self, commit=None, since=None):
        return [fact for fact in self.history(since)
                if commit is None or fact.source_commit == commit]

    def subjects(self, since=None):
        return [fact.subject for fact in self.history(since)]

    def results(self, commit):
        """{client: [final results]} of the rollouts of a commit."""
        found = {}
        for fact in self.facts(commit):
            if fact.client and fact.result in FINAL:
                found.setdefault(fact.client, []).append(fact.result)
        return found

    def ends(self, commit):
        """How the rollouts of a commit ended, in order."""
        return [fact.result for fact in self.facts(commit)
                if fact.rollout and not fact.client and not fact.stage
                and fact.result not in ("", "started")]

    def show(self, path, commit="deployments"):
        return git(self.bare, "show", f"{commit}:{path}")

    def files(self, folder):
        """Names in a folder of the status branch."""
        return git(self.bare, "ls-tree", "--name-only", f"deployments:{folder}").splitlines()

    def changed(self, commit):
        """Files that a commit of the status branch writes or removes."""
        return git(self.bare, "diff-tree", "--root", "--no-commit-id", "--name-only", "-r",
                   commit).splitlines()

    def clone(self, folder):
        return Clone(self, folder)

    def record(self, client):
        return read_yaml(self.show(f"clients/{client}.yaml"))

    def rollouts(self, commit=None):
        """Records, oldest first."""
        found = [read_yaml(self.show(f"rollouts/{name}"))
                 for name in sorted(self.files("rollouts"))]
        return [each for each in found if commit in (None, each["commit"])]

    def rollout(self, commit):
        """The only rollout of a commit."""
        (record,) = self.rollouts(commit)
        return record

    def tags(self):
        """{name: (type, commit)}"""
        lines = git(self.bare, "for-each-ref", "refs/tags",
                    "--format=%(refname:short) %(objecttype) %(*objectname)").splitlines()
        return {name: (kind, target) for name, kind, target in (line.split() for line in lines)}


class Clone:
    """A clone, in which a test writes files of the status branch as it likes."""

    def __init__(self, fleet, folder):
        self.folder = Path(folder)
        git(".", "clone", "-q", fleet.bare, folder)

    def write(self, path, text):
        """A commit on origin/deployments that writes a file."""
        branch = "refs/remotes/origin/deployments"
        git(self.folder, "switch", "-q", "--detach", branch)
        (self.folder / path).write_text(text)
        git(self.folder, "commit", "-q", "-a", "-m", "forged")
        git(self.folder, "update-ref", branch, "HEAD")

    def aviary(self, *arguments):
        return subprocess.run([AVIARY, *arguments], cwd=self.folder, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                              env=environment(), timeout=PATIENCE_S, stdin=subprocess.DEVNULL)


def copy_tree(source, target):
    shutil.copytree(source, target, symlinks=True)


def tell(fleet, out=sys.stdout):
    """What one wants to see of a fleet when a test failed."""
    for service in (fleet.service, *fleet.others):
        if service.log_file.exists():
            out.write(f"---- {service.log_file.name}\n" + service.log()[-12000:])
    if fleet.has_branch():
        out.write("---- history\n" + "\n".join(map(repr, fleet.history())) + "\n")
    out.write("---- activations\n" + "\n".join(map(repr, fleet.activations(""))) + "\n")
