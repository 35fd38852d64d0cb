#!/usr/bin/python3
"""Aviary at work, in under a minute: a real service rolls five clients out, back and forth.

usage: examples/demo.py --aviary build/aviary [--keep]
       examples/demo.py --stop FOLDER        end what --keep left running

Everything lives in one scratch folder (below $TMPDIR or /tmp): a bare repository that plays the
forge, the service's state, and a folder per client. At the end the service and the clients' programs
are stopped and the folder is removed. Needs Python's standard library and git, no network.
"""

import argparse
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
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

HERE = Path(__file__).resolve()
EXAMPLE = HERE.parent / "infra-repo"
COMPOSE = "docker/docker-compose.apps.yml"
CLIENTS = ("alpha", "beta", "gamma", "delta", "epsilon")
WITH_NEXTCLOUD = CLIENTS[:4]
GOOD, BETTER, BAD = "28.0.1", "28.0.2", "28.0.99"
ACT_S = 90  # patience for one act; they take seconds
FINAL = ("succeeded", "failed", "refused", "superseded", "aborted")


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

    def add_webhook(self, folder):
        """From now on a push tells the service, as a forge does."""
        hook = self.bare / "hooks/post-receive"
        hook.parent.mkdir(exist_ok=True)
        command = shlex.join([sys.executable, str(HERE), "--deliver", str(folder)])
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
        deadline = time.monotonic() + ACT_S
        while not (answer := ready()):
            if self.process.poll() is not None:
                raise Trouble(f"the service ended with status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise Trouble(f"waited {ACT_S} s for {what}")
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
    """The programs of the clients, asked over HTTP: what they say, not what the service believes."""

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
    """Pids of the clients' programs: those with a path in our folder among their arguments."""
    mine = os.fsencode(folder / "clients") + b"/"
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mine in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
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


# ---- the acts --------------------------------------------------------------------------------


class Demo:
    def __init__(self, aviary, folder):
        self.folder = folder
        self.screen = Screen()
        self.forge = Forge(folder)
        self.fleet = Fleet(folder)
        self.service = Service(aviary, folder)
        self.upgrade = self.bad = None  # commits

    def prepare(self):
        shutil.copytree(EXAMPLE, self.forge.work)
        self.fleet.configure(self.forge.work)
        self.forge.make()
        self.service.configure()

    # -- watching

    def push(self, commit, command):
        self.screen.command(command)
        said = self.forge.push()
        subject = self.forge.run("log", "-1", "--format=%s", commit).strip()
        self.screen.step(f"pushed {commit[:7]} '{subject}'; {'; '.join(said)}")
        if not any(line.endswith("signed: 202") for line in said):
            raise Trouble(f"the webhook was not accepted: {said}")

    @staticmethod
    def states(rollout):
        """((stage, client or ""), state, why) of all that a rollout consists of."""
        for stage in rollout["stages"]:
            for client, member in stage["clients"].items():
                yield (stage["name"], client), member["state"], "; ".join(member["reasons"])
            if stage["state"] != "running":  # seen from its clients
                yield (stage["name"], ""), stage["state"], ""

    def show_changes(self, rollout, seen):
        """A line for whatever is new since the last look."""
        for key, state, why in self.states(rollout):
            before = seen.get(key, "pending")
            if before == state:
                continue
            seen[key] = state
            if state != "deploying":
                why = ""
            elif before != "pending":
                why = "back to the known good release"
            name = f"{key[0]:<11} {key[1]:<8}"
            self.screen.step(f"{name} {self.screen.word(state, 11)}  {why}".rstrip())
        for client, member in rollout.get("progress", {}).items():
            detail = member.get("detail")
            if detail and seen.get(client) != detail:
                seen[client] = detail
                self.screen.step(f"{'':<11} {client:<8} {detail}")

    def check_canary_first(self, rollout):
        """Promise 1, looked at in each answer of the API."""
        canary, production = rollout["stages"]
        begun = [name for name, member in production["clients"].items()
                 if member["state"] not in ("pending", "skipped", "superseded")]
        if begun and canary["state"] not in ("succeeded", "skipped"):
            raise Trouble(f"{begun} were touched while the canary was '{canary['state']}'")

    def watch(self, commit, expected):
        """Follow the rollout of a commit to its end."""
        seen = {}

        def look():
            rollout = self.service.rollout(commit)
            if not rollout:
                return None
            self.show_changes(rollout, seen)
            if len(rollout["stages"]) == 2:
                self.check_canary_first(rollout)
            return rollout if rollout["state"] in FINAL else None

        rollout = self.service.wait_for(f"the rollout of {commit[:7]}", look)
        self.service.wait_for("its last push", self.service.is_idle)
        state = self.screen.word(rollout["state"])
        self.screen.step(f"rollout {rollout['id']}  {state}")
        if rollout["state"] != expected:
            raise Trouble(f"rollout {rollout['id']} is '{rollout['state']}', not '{expected}': "
                          f"{'; '.join(rollout.get('reasons', []))}")
        return rollout

    # -- what the clients say

    def table(self, before):
        """Asks every client and shows what it answers; gives the answers."""
        after = self.fleet.ask_all()
        self.screen.line()
        self.screen.line("  client    HTTP  nextcloud  listmonk  database password   program")
        for client, (status, told) in after.items():
            apps = told.get("apps", {})
            pid = told.get("pid", 0)
            same = client in before and before[client][1].get("pid") == pid
            proof = f"sha256 {told.get('secrets', {}).get('database_password', '?')}.."
            state = self.screen.paint("32" if status == 200 else "31", f"{status:<4}")
            self.screen.line(f"  {client:<9} {state}  {apps.get('nextcloud', '-'):<10} "
                             f"{apps.get('listmonk', '-'):<8}  {proof:<18}  "
                             f"pid {pid}{', the same as before' if same else ', new'}")
        return after

    def expect(self, answers, before, version, untouched):
        """All well, Nextcloud at `version`, and the untouched still in the same process."""
        for client, (status, told) in answers.items():
            wanted = version if client in WITH_NEXTCLOUD else None
            if status != 200 or told["apps"].get("nextcloud") != wanted:
                raise Trouble(f"{client} answers {status} {told}, wanted nextcloud {wanted}")
            same = client in before and before[client][1]["pid"] == told["pid"]
            if same != (client in untouched):
                raise Trouble(f"{client} should {'' if client in untouched else 'not '}"
                              f"run in the same process as before")

    # -- one after the other

    def onboarding(self):
        self.screen.act(
            "1. Onboarding",
            "The service sees the repository for the first time. The canary alpha is brought up "
            "first; once it has been healthy for its bake of 2 s, production follows, half of it "
            "at a time. Each client gets its own secrets, decrypted from SOPS files.")
        self.screen.command("aviary serve -c aviary.yaml")
        self.service.start()
        self.forge.add_webhook(self.folder)
        self.screen.step(f"pid {self.service.process.pid}, {self.service.url}, ready")
        self.watch(self.forge.head(), "succeeded")
        answers = self.table({})
        self.expect(answers, {}, GOOD, ())
        proofs = {told["secrets"]["database_password"] for _, told in answers.values()}
        if len(proofs) != len(CLIENTS):
            raise Trouble("two clients have the same database password")
        self.screen.proved("Five clients answer, each with a database password of its own.")
        return answers

    def good_upgrade(self, before):
        self.screen.act(
            "2. An upgrade",
            f"Eva commits Nextcloud {BETTER}; the forge sends a signed webhook. Watch the order: "
            "canary, bake, then production one by one (half of three, rounded down). epsilon has no "
            "Nextcloud, so the commit does not concern it.")
        self.upgrade = self.forge.commit_version(BETTER)
        self.push(self.upgrade, f"git commit -am 'Nextcloud {BETTER}' && git push")
        self.watch(self.upgrade, "succeeded")
        answers = self.table(before)
        self.expect(answers, before, BETTER, ("epsilon",))
        self.screen.proved(f"Four clients run {BETTER}; epsilon was not even restarted.")
        return answers

    def bad_upgrade(self, before):
        self.screen.act(
            "3. A bad upgrade",
            f"Nextcloud {BAD} starts, but answers 500. Watch the canary fail its checks and go back "
            "to its known good release by itself, and production stay out of it.")
        self.bad = self.forge.commit_version(BAD)
        self.push(self.bad, f"git commit -am 'Nextcloud {BAD}' && git push")
        rollout = self.watch(self.bad, "failed")
        state = rollout["stages"][0]["clients"]["alpha"]["state"]
        if state != "rolled-back":
            raise Trouble(f"alpha is '{state}' instead of rolled-back")
        for client, hold in self.held().items():
            self.screen.step(f"held: {client}, {hold.get('reason', 'no reason given')}")
        answers = self.table(before)
        self.expect(answers, before, BETTER, CLIENTS[1:])
        self.screen.proved("alpha is back on its known good release and healthy. All of production "
                           f"still runs in the processes of act 2. Commit {self.bad[:7]} is held: "
                           "it is not tried again by itself.")
        return answers

    def held(self):
        """{client: its hold}"""
        return {record["client"]: record["held"]
                for record in self.service.api("clients")["clients"] if record.get("held")}

    def revert_bad(self, before):
        self.screen.act(
            "4. Its git revert",
            "The way out is an ordinary commit. What it asks for runs already, so the hold ends "
            "and nobody is touched.")
        if "alpha" not in self.held():
            raise Trouble("alpha is not held after the failed rollout")
        commit = self.forge.revert(self.bad)
        self.push(commit, f"git revert {self.bad[:7]} && git push")
        self.service.wait_for("the end of the hold", lambda: not self.held())
        self.service.wait_for("its push", self.service.is_idle)
        ended = self.forge.history("-1", "--format=%h %s", "--grep=^hold(alpha): ended").strip()
        if not ended:
            raise Trouble("the history does not tell that the hold of alpha ended")
        self.screen.step(f"recorded: {ended}")
        answers = self.table(before)
        self.expect(answers, before, BETTER, CLIENTS)
        self.screen.proved("Nothing is held any more, and every program is the same as before.")
        return answers

    def revert_good(self, before):
        self.screen.act(
            "5. The git revert of the good upgrade",
            f"Back to Nextcloud {GOOD}. Going back is a rollout too: canary first, then production, "
            "each client to a release that was known good there before.")
        commit = self.forge.revert(self.upgrade)
        self.push(commit, f"git revert {self.upgrade[:7]} && git push")
        self.watch(commit, "succeeded")
        answers = self.table(before)
        self.expect(answers, before, GOOD, ("epsilon",))
        self.screen.proved(f"Four clients run {GOOD} again.")

    def show_git(self, args, limit=None):
        self.screen.command("git " + " ".join(
            f"'{arg}'" if re.search(r"[ %()^]", arg) else arg for arg in args))
        lines = self.forge.run(*args, folder=self.forge.bare).rstrip().splitlines()
        for line in lines[:limit]:
            self.screen.line(f"  {line}".rstrip())
        self.screen.line()
        return lines

    def history(self):
        self.screen.act(
            "6. The history",
            "All of it is in git, on the branch `deployments` that only Aviary writes: one commit "
            "per fact, intents before deeds, and tags to go back to.")
        result = "%(trailers:key=Result,valueonly,separator=%x2C)"
        self.show_git(["log", "--reverse", f"--format=%h %<(12){result}%s", "deployments"])
        self.screen.say("The rollback of the canary in full, with trailers for machines:")
        self.show_git(["log", "-1", "--grep=^Result: rolled-back", "deployments"])
        self.screen.say("Each tag stands on the source commit that it names:")
        self.show_git(["tag", "-n"])

    def play(self):
        started = time.monotonic()
        self.screen.line(self.screen.paint("1", "Aviary: five clients, one service, six acts"))
        self.screen.line(f"Scratch folder {self.folder}")
        self.prepare()
        answers = self.onboarding()
        answers = self.good_upgrade(answers)
        answers = self.bad_upgrade(answers)
        answers = self.revert_bad(answers)
        self.revert_good(answers)
        self.history()
        self.screen.line(f"All six acts went as they should, in {time.monotonic() - started:.0f} s.")

    def tell_what_to_try(self):
        aviary = shlex.quote(self.service.aviary)
        self.screen.line(f"""
The service keeps running at {self.service.url}. Try:

  cd {shlex.quote(str(self.folder))}
  tail aviary.log
  {aviary} status -c aviary.yaml
  {aviary} history -c aviary.yaml alpha
  curl -H "Authorization: Bearer $(cat keys/api-token)" {self.service.url}/api/v1/status
  curl http://127.0.0.1:{self.fleet.ports['alpha']}/status

  cd infra && git fetch && $EDITOR {COMPOSE}
  {aviary} plan
  git commit -am 'My upgrade' && git push

End it:
  {shlex.quote(str(HERE))} --stop {shlex.quote(str(self.folder))}""")


# ---- running it ------------------------------------------------------------------------------


def tell(demo, trouble):
    print(f"\nEnd of {demo.service.log.name}:\n{demo.service.tail()}", file=sys.stderr)
    print(f"demo: FAILED: {trouble if isinstance(trouble, Trouble) else repr(trouble)}",
          file=sys.stderr)


def clear_away(demo):
    """Nothing stays: first the service, so that it starts nothing new, then what it started."""
    clean = True
    if demo.service.process and demo.service.process.poll() is None:
        try:
            demo.service.stop()
        except Trouble as trouble:
            tell(demo, trouble)
            clean = False
    end_processes(demo.folder)
    shutil.rmtree(demo.folder)
    return clean


def run(aviary, keep):
    if not os.access(aviary, os.X_OK):
        sys.exit(f"demo: no program '{aviary}': run make first")
    folder = Path(tempfile.mkdtemp(prefix="aviary-demo-")).resolve()
    demo = Demo(str(Path(aviary).resolve()), folder)
    done = False
    try:
        demo.play()
        done = True
    except (Trouble, OSError, ValueError, LookupError) as trouble:
        tell(demo, trouble)
    finally:
        if not (done and keep):
            done = clear_away(demo) and done
    if done and keep:
        demo.tell_what_to_try()
    return 0 if done else 1


def stop(folder):
    """End what --keep left running; refuses folders that are none of ours."""
    try:
        pid = json.loads((folder / "demo.json").read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError, LookupError):
        sys.exit(f"demo: '{folder}' is no scratch folder of the demo")
    config = os.fsencode(folder / "aviary.yaml")

    def runs():
        try:
            return config in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    deadline = time.monotonic() + 30
    if runs():
        os.kill(pid, signal.SIGTERM)
    while runs():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    end_processes(folder)
    shutil.rmtree(folder)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--aviary", metavar="FILE", help="the program, such as build/aviary")
    parser.add_argument("--keep", action="store_true", help="leave the service running at the end")
    parser.add_argument("--stop", metavar="FOLDER", help="end what --keep left running")
    parser.add_argument("--deliver", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    # Ctrl-C and SIGTERM both clear away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if args.deliver:
            return deliver(Path(args.deliver))
        if args.stop:
            return stop(Path(args.stop).resolve())
        if not args.aviary:
            parser.error("--aviary is missing")
        return run(args.aviary, args.keep)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
