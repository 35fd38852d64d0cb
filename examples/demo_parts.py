"""What the demo (demo.py) is made of: the screen, the forge, the service, the clients."""

import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent / "infra-repo"
COMPOSE = "docker/docker-compose.apps.yml"
CLIENTS = ("alpha", "beta", "gamma", "delta", "epsilon")
PATIENCE_S = 90  # for one act; they take seconds


class Trouble(Exception):
    """The demo did not go as it should."""


# ---- what one sees ---------------------------------------------------------------------------


class Screen:
    """Plain lines; on a terminal with some colour."""

    def __init__(self):
        self.colours = (sys.stdout.isatty() and "NO_COLOR" not in os.environ
                        and os.environ.get("TERM", "dumb") != "dumb")
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 100)
        self.since = time.monotonic()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def line(self, text=""):
        print(text, flush=True)

    def say(self, text):
        self.line(textwrap.fill(text, self.width))

    def act(self, title, text):
        self.line("\n" + self.paint("1", title))
        self.say(text)
        self.line()
        self.since = time.monotonic()

    def command(self, text):
        self.line(self.paint("36", f"  $ {text}"))

    def step(self, text):
        self.line(f"  {time.monotonic() - self.since:5.1f}s  {text}")

    def word(self, word, width=0):
        """A state, green where all is well and red where not."""
        good, bad = ("healthy", "succeeded"), ("failed", "rolled-back", "refused", "aborted")
        padded = word.ljust(width)
        if word in good:
            return self.paint("32", padded)
        return self.paint("31", padded) if word in bad else padded

    def proved(self, text):
        self.line()
        self.line(textwrap.fill(text, self.width, initial_indent=self.paint("32", "  ok  "),
                                subsequent_indent="      "))


# ---- the forge: a bare repository with a webhook ---------------------------------------------


def environment():
    """Ours, without what would change how git or the service behave."""
    taken = ("GIT_", "AVIARY_", "SOPS_AGE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(taken)}
    return dict(env, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8")


class Forge:
    def __init__(self, folder):
        self.bare = folder / "forge/demo/infra.git"
        self.work = folder / "infra"

    def run(self, *args, folder=None):
        done = subprocess.run(["git", "-C", str(folder or self.work), *args], env=environment(),
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Trouble(f"git {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout + done.stderr if args[0] == "push" else done.stdout

    def make(self):
        self.bare.mkdir(parents=True)
        self.run("init", "--quiet", "--bare", "--initial-branch=main", ".", folder=self.bare)
        self.run("config", "core.hooksPath", str(self.bare / "hooks"), folder=self.bare)
        self.run("init", "--quiet", "--initial-branch=main", ".")
        self.run("config", "user.name", "Eva")
        self.run("config", "user.email", "eva@example.org")
        self.run("remote", "add", "origin", str(self.bare))
        self.run("add", "--all")
        self.run("commit", "--quiet", "--message=Five clients")
        self.run("push", "--quiet", "--set-upstream", "origin", "main")

    def add_webhook(self, program, folder):
        """From now on a push tells the service, as a forge does."""
        hook = self.bare / "hooks/post-receive"
        hook.parent.mkdir(exist_ok=True)
        command = shlex.join([sys.executable, str(program), "--deliver", str(folder)])
        hook.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
        hook.chmod(0o755)

    def head(self):
        return self.run("rev-parse", "HEAD").strip()

    def commit_version(self, version):
        file = self.work / COMPOSE
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"(image: nextcloud:).*", rf"\g<1>{version}", text),
                        encoding="utf-8")
        self.run("commit", "--quiet", "--all", f"--message=Nextcloud {version}")
        return self.head()

    def revert(self, commit):
        self.run("revert", "--no-edit", commit)
        return self.head()

    def push(self):
        """What the forge said, such as the answer to its webhook."""
        return re.findall(r"^remote: (.+?)\s*$", self.run("push", "--quiet"), re.M)

    def history(self, *args):
        return self.run("log", *args, "deployments", folder=self.bare)


def sign(secret, body):
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def deliver(folder):
    """The webhook of the bare repository: sends what Gitea would, signed."""
    url = json.loads((folder / "demo.json").read_text(encoding="utf-8"))["url"]
    secret = (folder / "keys/webhook-secret").read_bytes().strip()
    for line in sys.stdin:
        before, after, ref = line.split()
        repository = {"full_name": "demo/infra", "html_url": "http://localhost/demo/infra"}
        body = json.dumps({"ref": ref, "before": before, "after": after, "commits": [],
                           "repository": repository, "pusher": {"login": "eva"}}).encode()
        request = urllib.request.Request(f"{url}/webhook/gitea", body, {
            "Content-Type": "application/json", "X-Gitea-Event": "push",
            "X-Gitea-Delivery": str(uuid.uuid4()), "X-Gitea-Signature": sign(secret, body)})
        try:
            status = fetch(request)[0]
        except OSError as error:
            status = error
        print(f"POST /webhook/gitea, signed: {status}")


def fetch(request, timeout=5):
    """(status, body) of an HTTP request to this machine, whatever the proxy settings say."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except http.client.HTTPException as error:
        raise OSError(f"cut short: {error!r}") from error


# ---- the service -----------------------------------------------------------------------------

CONFIG = """\
listen: 127.0.0.1:0
state_dir: "{folder}/state"
repository: {{url: "{folder}/forge/demo/infra.git", branch: main, poll_interval: 5m}}
status: {{branch: deployments, author: "Aviary <aviary@example.org>"}}
webhooks: [{{forge: gitea, secret_file: "{folder}/keys/webhook-secret"}}]
age_key_file: "{folder}/keys/age-key.txt"
api: {{tokens: [{{name: demo, file: "{folder}/keys/api-token", may: [read]}}]}}
"""


class Service:
    def __init__(self, aviary, folder):
        self.aviary, self.folder = aviary, folder
        self.log = folder / "aviary.log"
        self.process = None
        self.url = None

    def configure(self):
        keys = self.folder / "keys"
        keys.mkdir(mode=0o700)
        (self.folder / "state").mkdir(mode=0o700)
        shutil.copyfile(EXAMPLE / "demo-age-key.txt", keys / "age-key.txt")
        (keys / "webhook-secret").write_text(secrets.token_urlsafe(24), encoding="ascii")
        (keys / "api-token").write_text(secrets.token_urlsafe(24), encoding="ascii")
        for file in keys.iterdir():
            file.chmod(0o600)
        (self.folder / "aviary.yaml").write_text(CONFIG.format(folder=self.folder),
                                                 encoding="utf-8")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.aviary, "serve", "-c", str(self.folder / "aviary.yaml")], env=environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.wait_for("the service to listen", self.find_url)
        self.wait_for("/readyz", lambda: self.ask("/readyz")[0] == 200)
        (self.folder / "demo.json").write_text(
            json.dumps({"url": self.url, "pid": self.process.pid}), encoding="utf-8")

    def find_url(self):
        text = self.log.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^.*\blistening\b.*\baddress=\"?([\d.]+:\d+)", text, re.M)
        self.url = f"http://{found[1]}" if found else None
        return self.url

    def wait_for(self, what, ready):
        """Until ready() gives something true, which is returned."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := ready()):
            if self.process.poll() is not None:
                raise Trouble(f"the service ended with status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise Trouble(f"waited {PATIENCE_S} s for {what}")
            time.sleep(0.05)
        return answer

    def ask(self, path):
        token = (self.folder / "keys/api-token").read_text(encoding="ascii")
        headers = {"Authorization": f"Bearer {token}"}
        return fetch(urllib.request.Request(self.url + path, headers=headers))

    def api(self, path):
        status, body = self.ask(f"/api/v1/{path}")
        if status != 200:
            raise Trouble(f"GET /api/v1/{path}: {status} {body.decode(errors='replace')}")
        return json.loads(body)

    def rollout(self, commit):
        """The newest rollout of a commit, or None."""
        found = [each for each in self.api("rollouts")["rollouts"] if each["commit"] == commit]
        return found[0] if found else None

    def is_idle(self):
        """Nothing left to look at, to do or to push."""
        return self.api("status")["idle"]

    def tail(self):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").split("\n")[-40:])

    def stop(self):
        self.process.terminate()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Trouble("the service did not stop within 30 s of SIGTERM") from None
        if status:
            raise Trouble(f"the service stopped with status {status}")


# ---- the clients -----------------------------------------------------------------------------


class Fleet:
    """The programs of the clients, asked over HTTP: not what the service believes."""

    def __init__(self, folder):
        self.folder = folder
        self.reserved = []
        self.ports = {}

    def configure(self, work):
        """Free ports, and a folder of ours, in the copy of the example."""
        variables = work / "ansible/group_vars/all.yml"
        text = variables.read_text(encoding="utf-8")
        root = json.dumps(str(self.folder / "clients"))
        variables.write_text(re.sub(r"^fleet_root: .*", lambda _: f"fleet_root: {root}", text,
                                    flags=re.M), encoding="utf-8")
        for client in CLIENTS:
            self.ports[client] = self.reserve()
            (work / f"ansible/host_vars/{client}.yml").write_text(
                f"http_port: {self.ports[client]}\n", encoding="ascii")

    def reserve(self):
        """A port that stays ours while no program listens on it: bound here, but not listening."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        self.reserved.append(holder)
        return holder.getsockname()[1]

    def ask(self, client):
        """(HTTP status, what it tells); (0, {}) without an answer."""
        try:
            status, body = fetch(f"http://127.0.0.1:{self.ports[client]}/status", 2)
            return status, json.loads(body)
        except (OSError, ValueError):
            return 0, {}

    def ask_all(self):
        return {client: self.ask(client) for client in CLIENTS}


def our_processes(folder):
    """Pids of the clients' programs and of webhooks on their way, by their arguments."""
    mine = (os.fsencode(folder / "clients") + b"/", b"--deliver\0" + os.fsencode(folder) + b"\0")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                command = (entry / "cmdline").read_bytes()
                found += [int(entry.name)] if any(part in command for part in mine) else []
        except OSError:
            continue  # ended meanwhile, or not ours to read
    return found


def end_processes(folder):
    deadline = time.monotonic() + 10
    while pids := our_processes(folder):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
