#!/usr/bin/python3
"""Posts every delivery of a folder to the real service and compares the answers with its index.

usage: tests/e2e/webhook_cases.py DIR [--server PROGRAM]

DIR holds cases.json and the deliveries that it names: one body and one `.headers` file each. The
program is build/aviary (or $AVIARY), run as `aviary serve -c FILE`; a program named intake_server
gets the arguments of tests/tools/intake_server.c. One service runs per tracked repository; cases
with `auth: signing` run with the clock that the index names. Ends with `N passed, N failed`.
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FORGES = ["github", "gitlab", "gitea", "forgejo", "bitbucket"]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 30


class Service:
    """The service as a process: starts, tells its port, stops; its log is kept for failures."""

    def __init__(self, program, repository, branch, secrets, environment=None):
        self.scratch = tempfile.TemporaryDirectory(prefix="aviary-webhooks-")
        folder = Path(self.scratch.name)
        url = f"https://127.0.0.1:1/{repository}.git"  # nobody listens there: nothing is fetched
        files = {}
        for forge, texts in secrets.items():
            files[forge] = []
            for number, text in enumerate([texts] if isinstance(texts, str) else texts):
                path = folder / f"{forge}-{number}.secret"
                path.write_text(text)
                path.chmod(0o600)
                files[forge].append(str(path))
        if Path(program).name == "intake_server":
            doors = [f"{forge}={','.join(paths)}" for forge, paths in files.items()]
            command = [program, "127.0.0.1:0", url, branch, "deployments", *doors]
        else:
            config = {
                "listen": "127.0.0.1:0",
                "state_dir": str(folder / "state"),
                "repository": {"url": url, "branch": branch},
                "status": {"branch": "deployments"},
                "webhooks": [{"forge": forge, "secret_file": paths if len(paths) > 1 else paths[0]}
                             for forge, paths in files.items()],
            }
            (folder / "aviary.yaml").write_text(json.dumps(config))  # JSON is YAML
            (folder / "state").mkdir(mode=0o700)
            command = [program, "serve", "-c", str(folder / "aviary.yaml")]
        env = {key: value for key, value in os.environ.items() if not key.startswith("AVIARY")}
        env.update(environment or {})
        self.log = []
        self.port = None
        self.listening = threading.Event()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        if not self.listening.wait(START_TIMEOUT_S) or not self.port:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("the service does not listen:\n" + "".join(self.log[-20:]))

    def _read_log(self):
        for line in self.process.stderr:
            text = line.decode(errors="replace")
            self.log.append(text)
            found = re.search(r'listening.*address"?[=:]"?127\.0\.0\.1:(\d+)', text)
            if found and not self.port:
                self.port = int(found.group(1))
                self.listening.set()
        self.listening.set()

    def stop(self):
        """Ends the service; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.reader.join(STOP_TIMEOUT_S)
        self.process.stderr.close()
        self.scratch.cleanup()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:200]!r}"


def post(port, path, headers, body, method="POST"):
    """One request with exactly these headers (a list of pairs), Host and Content-Length beside."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode() if isinstance(value, str) else value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def read_headers(path):
    lines = path.read_bytes().decode().split("\n")
    return [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "")
            for line in lines if line]


def complaint(answer, wanted):
    """What is wrong with an answer, or None: the status, and what belongs to each status."""
    if answer.status not in wanted:
        return f"answered {answer}, wanted {wanted}"
    if answer.status == 204:
        reason = answer.headers.get("X-Aviary-Ignored", "")
        if answer.body or not re.fullmatch(r"[a-z-]+", reason):
            return f"204 with a body or without a reason: {answer}"
    elif answer.status >= 400:
        if not json.loads(answer.body).get("error"):
            return f"no sentence in the error: {answer}"
    elif json.loads(answer.body) != {"status": "queued"}:
        return f"202 with another body: {answer}"
    if "X-Injected" in answer.headers:
        return "a header of the payload reached the answer"
    return None


def service_of(index, folder, case):
    """What a service must be started with for this case; equal ones share one."""
    tracked = case.get("tracked") or {}
    auth = case.get("auth")
    if not auth and case["forge"] == "gitlab":
        names = {name.lower() for name, _ in read_headers(folder / case["headers"])}
        auth = "signing" if "webhook-signature" in names else "token"
    return (tracked.get("repository") or "example/none", tracked.get("branch") or "main",
            index["gitlab_signing_token"] if auth == "signing" else None,
            case.get("secret", index["secret"]))


def run_group(program, index, key, folder, cases):
    """Posts the cases of one service. Yields (case, complaint or None)."""
    repository, branch, signing_token, secret = key
    secrets = dict.fromkeys(FORGES, secret)
    if signing_token:
        secrets["gitlab"] = signing_token
    environment = {}
    if signing_token:
        environment = {"AVIARY_TEST": "1", "AVIARY_TEST_NOW": str(index["gitlab_signing_clock"])}
    with Service(program, repository, branch, secrets, environment) as service:
        for case in cases:
            try:
                answer = post(service.port, f"/webhook/{case['forge']}",
                              read_headers(folder / case["headers"]),
                              (folder / case["body"]).read_bytes())
                yield case, complaint(answer, case["status"])
            except (OSError, http.client.HTTPException, ValueError) as wrong:
                yield case, f"no answer: {wrong!r}"
        status = service.stop()
        if status:
            yield cases[-1], f"the service ended with {status}:\n" + "".join(service.log[-20:])
        if any(secret in line for line in service.log):
            yield cases[-1], "the log holds the secret"


def run(folder, program, say=print):
    """Runs all cases of a folder. @return (passed, failed)"""
    folder = Path(folder)
    index = json.loads((folder / "cases.json").read_text())
    groups = defaultdict(list)
    for case in index["cases"]:
        groups[service_of(index, folder, case)].append(case)
    failed = set()
    for key, cases in groups.items():
        try:
            for case, wrong in run_group(program, index, key, folder, cases):
                if wrong:
                    failed.add(case["body"])
                    say(f"FAILED {case['body']} ({case.get('why')}): {wrong}")
        except RuntimeError as wrong:
            failed.update(case["body"] for case in cases)
            say(f"FAILED {key[0]}: {wrong}")
    return len(index["cases"]) - len(failed), len(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--server", default=os.environ.get("AVIARY", str(ROOT / "build/aviary")))
    arguments = parser.parse_args()
    if not os.access(arguments.server, os.X_OK):
        sys.exit(f"there is no program {arguments.server}: run make first")
    passed, failed = run(arguments.folder, arguments.server)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
