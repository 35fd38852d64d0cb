#!/usr/bin/python3
"""Stands in for a client's apps in `make demo`: one small HTTP program.

It reads its release as docker compose would (versions from the compose files, the rest from .env)
and answers

  /status                   everything at once, as JSON; 500 if an app is not well
  /<app>/<health path>      what the real app answers there

usage: server.py ROOT       in the folder of the release; ROOT is the folder of the client
"""

import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Versions that start but do not work, so that the demo has something to roll back.
BROKEN = {("nextcloud", "28.0.99")}

# Health path of each app, and the JSON behind it.
HEALTH = {
    "nextcloud": ("status.php", {"installed": True, "maintenance": False}),
    "zitadel": ("debug/ready", {"ready": True}),
    "pretix": ("healthcheck/", {"status": "ok"}),
    "listmonk": ("health", {"data": True}),
}


def read_env(path):
    """The KEY=VALUE lines of an env file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def read_versions(*paths):
    """{service: tag of its image} of compose files; enough YAML for these, not for others."""
    versions, service = {}, None
    for line in "\n".join(path.read_text(encoding="utf-8") for path in paths).splitlines():
        if name := re.fullmatch(r" {2}([\w-]+):", line):
            service = name[1]
        elif image := re.fullmatch(r" {4}image: \S+:(\S+)", line):
            versions[service] = image[1]
    return versions


def fingerprint(secret):
    """Shows that a secret arrived, and whether it is another one, without showing it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


class Client:
    def __init__(self):
        env = read_env(Path(".env"))
        self.port = int(env["HTTP_PORT"])
        self.apps = read_versions(Path("compose.yaml"), Path("compose.apps.yaml"))
        self.broken = sorted(app for app, version in self.apps.items() if (app, version) in BROKEN)
        self.status = {
            "client": env["CLIENT"],
            "healthy": not self.broken,
            "broken": self.broken,
            "apps": self.apps,
            "secrets": {key.lower(): fingerprint(value) for key, value in env.items()
                        if key.endswith(("_PASSWORD", "_MASTERKEY"))},
            "release": os.environ["AVIARY_RELEASE"],
            "commit": os.environ["AVIARY_COMMIT"],
            "pid": os.getpid(),
        }

    def answer(self, path):
        """(HTTP status, JSON) for a path."""
        if path == "/status":
            return (500 if self.broken else 200), self.status
        app, _, rest = path.lstrip("/").partition("/")
        health, body = HEALTH.get(app, (None, None))
        if app not in self.apps or rest != health:
            return 404, {"error": "not found"}
        if app in self.broken:
            return 500, {"error": f"{app} {self.apps[app]} does not start"}
        return 200, dict(body, version=self.apps[app])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.client.answer(self.path)
        text = json.dumps(body, indent=2).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        """Checks come five times a second: nothing worth a line."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        # The demo keeps the port reserved with a socket of its own that does not listen.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def claim(root):
    """The pid file, locked as long as we run: two programs of one client could share the port."""
    file = open(root / "server.pid", "a", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("server.py: another program of this client is running")
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def main(root):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    client = Client()
    with claim(root), Server(("127.0.0.1", client.port), Handler) as server:
        server.client = client
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
