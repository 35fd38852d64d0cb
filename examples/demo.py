#!/usr/bin/python3
"""Aviary at work, in under a minute: a real service rolls five clients out, back and forth.

usage: examples/demo.py --aviary build/aviary [--keep]
       examples/demo.py --stop FOLDER        end what --keep left running

Everything lives in one scratch folder (below $TMPDIR or /tmp): a bare repository that plays the
forge, the service's state, and a folder per client. At the end the service and the clients'
programs are stopped and the folder is removed. Needs Python's standard library and git, no network.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # leave nothing behind, in this folder either
from demo_parts import (CLIENTS, COMPOSE, EXAMPLE, Fleet, Forge, Screen, Service, Trouble,
                        deliver, end_processes)

HERE = Path(__file__).resolve()
WITH_NEXTCLOUD = CLIENTS[:4]
GOOD, BETTER, BAD = "28.0.1", "28.0.2", "28.0.99"
FINAL = ("succeeded", "failed", "refused", "superseded", "aborted")


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
        self.forge.add_webhook(HERE, self.folder)
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
            "canary, bake, then production one by one (half of three, rounded down). epsilon has "
            "no Nextcloud, so the commit does not concern it.")
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
            f"Nextcloud {BAD} starts, but answers 500. Watch the canary fail its checks and go "
            "back to its known good release by itself, and production stay out of it.")
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
            f"Back to Nextcloud {GOOD}. Going back is a rollout too: canary first, then "
            "production, each client to a release that was known good there before.")
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
        took = time.monotonic() - started
        self.screen.line(f"All six acts went as they should, in {took:.0f} s.")

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
