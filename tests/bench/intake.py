"""Webhooks: signed bodies of 10 KB, against Debian's `webhook` with an HMAC rule.

Both answer the same bodies in the same run. Its second rule does not match, so that it does not
start a program for each delivery; ours answers 202 and looks at the repository.
"""

import contextlib
import hashlib
import hmac
import json
import re
import subprocess
import time
import urllib.request

from tests.bench import figures
from tests.lib import fleet as fleet_lib
from tests.lib.gitserver import free_port

SECRET = fleet_lib.WEBHOOK_SECRET
BODY_BYTES = 10 * 1024
CONNECTIONS = 32  # what one address may open here
SECONDS = 3
NAMES = ("aviary serve", "webhook")

# Every delivery has an id of its own, as from a forge; made before, so that wrk itself is fast. The
# service remembers the last 1,000.
LUA = """\
local requests = {{}}
local count = 0
function init(args)
	local file = io.open("{body}", "rb")
	local body = file:read("*a")
	for i = 1, 1500 do
		requests[i] = wrk.format("POST", "{path}", {{
			["Content-Type"] = "application/json",
			["X-GitHub-Event"] = "push",
			["X-GitHub-Delivery"] = "{run}-" .. i,
			["X-Hub-Signature-256"] = "sha256={signature}",
		}}, body)
	end
end
function request()
	count = count % 1500 + 1
	return requests[count]
end
"""


def push_body():
    """A push event as GitHub sends it, filled up with commits to 10 KB."""
    event = {
        "ref": "refs/heads/main", "before": "1" * 40, "after": "2" * 40, "deleted": False,
        "repository": {"full_name": "demo/infra", "clone_url": "https://forge/demo/infra.git"},
        "sender": {"login": "eva"}, "pusher": {"name": "eva"}, "commits": [],
    }
    while len(json.dumps(event)) < BODY_BYTES - 400:
        event["commits"].append({
            "id": hashlib.sha1(str(len(event["commits"])).encode()).hexdigest(),
            "message": "Nextcloud 28.0.2 for the canary, with the fix of its previews",
            "author": {"name": "Eva", "email": "eva@example.org"},
            "modified": ["docker/docker-compose.apps.yml"], "added": [], "removed": []})
    event["padding"] = "x" * (BODY_BYTES - len(json.dumps(event)) - len(', "padding": ""'))
    return json.dumps(event).encode()


class Webhook:
    """Debian's webhook with one hook."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hooks/infra"
        self.hooks = folder / "hooks.json"
        self.hooks.write_text(json.dumps([{
            "id": "infra", "execute-command": "/bin/true",
            "trigger-rule": {"and": [
                {"match": {"type": "payload-hmac-sha256", "secret": SECRET,
                           "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}},
                {"match": {"type": "value", "value": "refs/heads/another",
                           "parameter": {"source": "payload", "name": "ref"}}}]}}]))

    def __enter__(self):
        self.process = subprocess.Popen(
            ["webhook", "-hooks", str(self.hooks), "-ip", "127.0.0.1", "-port", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def deliver(url, body, signature):
    request = urllib.request.Request(url, body, {
        "Content-Type": "application/json", "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "first", "X-Hub-Signature-256": f"sha256={signature}"})
    return fleet_lib.fetch(request)[0]


def wait_until_up(url, body, signature):
    deadline = time.monotonic() + fleet_lib.PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return deliver(url, body, signature)
        time.sleep(0.02)
    raise OSError(f"{url} does not answer")


def run_wrk(folder, url, path, signature, run):
    """(requests/s, requests)"""
    script = folder / "deliver.lua"
    script.write_text(LUA.format(body=folder / "body.json", path=path, run=run,
                                 signature=signature))
    done = subprocess.run(
        ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", "-s", str(script), url],
        stdout=subprocess.PIPE, check=True, encoding="ascii")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    if refused:
        print(f"  {refused[1]} deliveries of {url} were refused")
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]),
            int(re.search(r"(\d+) requests in", done.stdout)[1]))


def measure_both(folder, fleet, runs):
    body = push_body()
    (folder / "body.json").write_bytes(body)
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    rates, memory, own, costs = ({name: [] for name in NAMES} for _ in range(4))
    with Webhook(folder) as other:
        wait_until_up(other.url, body, signature)
        ours = f"{fleet.service.url}/webhook/github"
        status = deliver(ours, body, signature)
        if status != 202:
            print(f"  the service answers {status} instead of 202")
        for run in range(runs):  # in turn, so that both see the same machine
            for name, url, pid in ((NAMES[0], ours, fleet.service.process.pid),
                                   (NAMES[1], other.url, other.process.pid)):
                base, path = url[:url.index("/", 8)], url[url.index("/", 8):]
                before = figures.cpu_s(pid)
                rate, requests = run_wrk(folder, base, path, signature, run)
                rates[name].append(rate)
                costs[name].append((figures.cpu_s(pid) - before) * 1e6 / max(requests, 1))
                memory[name].append(figures.memory_kib(pid) / 1024)
                own[name].append(figures.memory_kib(pid, "RssAnon") / 1024)
    return rates, costs, memory, own


def measure(_, folder, runs):
    if not figures.has("intake", "wrk", "webhook"):
        return
    figures.section("Webhooks: signed bodies of 10 KB",
                    f"wrk, {CONNECTIONS} connections, {SECONDS} s each; `webhook` is Debian's")
    with fleet_lib.CheckServer() as checks:
        fleet = fleet_lib.Fleet(folder / "fleet", checks).make()
        fleet.configure(**{"forge: gitea": "forge: github"})
        fleet.service.start("--log-format", "text")
        try:
            fleet.settle()
            rates, costs, memory, own = measure_both(folder, fleet, runs)
        finally:
            fleet.service.kill()
    shown = {name: (figures.row(name, rates[name], "requests/s"),
                    figures.row(f"{name}, processor time of one", costs[name], "us"),
                    figures.row(f"{name}, resident", memory[name], "MB"),
                    figures.row(f"{name}, of that not files (libraries)", own[name], "MB"))
             for name in NAMES}
    ours, theirs = (shown[name] for name in NAMES)
    figures.goal("requests, ratio of the medians", ours[0].middle / theirs[0].middle, 5, False)
    print(f"  processor time, ratio: {figures.number(theirs[1].middle / ours[1].middle)}")
    figures.goal("memory, MB, against that of webhook", ours[2].middle, theirs[2].middle)
