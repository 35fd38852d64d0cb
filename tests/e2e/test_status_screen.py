"""`aviary status` fits on a screen, however much there is to tell; asked of a service that is made up."""

import http.server
import json
import os
import subprocess

from tests.lib.fleet import AVIARY, PATIENCE_S, environment
from tests.lib.webserver import WebServer

SINCE = "2026-11-24T10:15:42Z"
NAMES = [f"c{number:03}" for number in range(300)]
LINES = 60


def a_bad_night():
    """A rollout of 300 clients in its middle, and trouble of every kind with a hundred of them."""
    def member(number):
        return {"state": ("healthy", "failed", "deploying", "pending")[number % 4]}

    stages = [{"name": "canary", "state": "succeeded", "bake": "10m", "clients": {"c000": member(0)}},
              {"name": "production", "state": "running", "bake": "0s",
               "clients": {name: member(at) for at, name in enumerate(NAMES[1:], 1)}}]
    clients = [{"client": name, "stage": "production", "state": "rolled-back" if at % 3 else "healthy",
                "commit": "9" * 40, "apps": {"api": "1.0.0"},
                **({"drift": {"what": "runs nothing", "since": SINCE}} if at % 5 == 0 else {})}
               for at, name in enumerate(NAMES)]
    some = NAMES[:100]
    return {"leader": {"instance": "one", "epoch": 3}, "commit": "9" * 40, "idle": False,
            "rollout": {"id": "20261124-101542-9999999", "commit": "9" * 40, "state": "running",
                        "started": SINCE, "stages": stages, "progress": {}},
            "waits": [{"what": f"{name} waits for its host", "next": "make it answer"} for name in some],
            "held": [{"client": name, "reason": "it was sick"} for name in some],
            "paused": [{"client": name, "reason": "demo", "by": "eva", "since": SINCE} for name in some],
            "pinned": [{"client": name, "until": "2027-01-31", "reason": "fair"} for name in some],
            "vanished": some, "clients": clients}


def status(answer, tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("token-of-this-test")
    with WebServer(Handler) as server:
        done = subprocess.run(
            [AVIARY, "status", "--url", f"http://127.0.0.1:{server.port}", "--token-file", str(token)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False,
            env=environment() | {"no_proxy": "127.0.0.1"}, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_worst_night_of_a_large_fleet_fits_on_a_screen(tmp_path):
    text = status(a_bad_night(), tmp_path)
    lines = text.splitlines()
    assert len(lines) <= LINES, text
    for label in ("Held", "Paused", "Pinned", "Vanished", "Waits"):
        assert f"{label:7} and 96 more: aviary status --json" in lines, text
    assert "Drift   and 56 more: aviary status --json" in lines
    members = [line.split() for line in lines if line.startswith("  c")]
    assert members == [["c000", "healthy"],  # the canary, and of production those with which something is
                       ["c001", "failed"], ["c002", "deploying"], ["c005", "failed"],
                       ["c006", "deploying"]]


def test_a_large_fleet_that_is_well_is_a_few_lines(tmp_path):
    answer = a_bad_night()
    for client in answer["clients"]:
        client["state"] = "healthy"
        client.pop("drift", None)
    for key in ("waits", "held", "paused", "pinned", "vanished"):
        answer[key] = []
    answer["rollout"]["state"] = "succeeded"
    text = status(answer, tmp_path)
    assert len(text.splitlines()) < 15 and "Others  300 healthy" in text
    assert os.linesep + "Held    none" in text
