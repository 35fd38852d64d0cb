"""A Docker engine of the test's own: dockerd without network in a scratch folder, ended by its pid.

    with Engine.start() as engine:              # pytest.skip() where there can be none
        engine.image("aviary-test:1")           # busybox, nothing else
        engine.docker("ps", "-a")
        env = engine.environment("docker-compose")     # PATH with wrappers that name its socket

`Registry` is one on loopback that can be sick.
"""

import ctypes
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from tests.lib.fleet import PATIENCE_S, environment
from tests.lib.webserver import WebServer

PLUGIN_FOLDERS = ("~/.docker/cli-plugins", "/usr/local/lib/docker/cli-plugins",
                  "/usr/local/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins",
                  "/usr/libexec/docker/cli-plugins")
APPLETS = ("sh", "sleep", "echo", "cat", "true", "false", "test", "touch", "httpd")
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def find_plugin():
    """`docker compose` of this machine, or None."""
    for folder in PLUGIN_FOLDERS:
        path = Path(folder).expanduser() / "docker-compose"
        if os.access(path, os.X_OK):
            return path
    return None


def digest(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def busybox_tar():
    """The files of an image in which busybox runs, static or not."""
    busybox = shutil.which("busybox")
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(
        ["ldd", busybox], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        encoding="utf-8").stdout)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        tar.add(busybox, "bin/busybox")
        for library in libraries:
            tar.add(library, library[1:])
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()


class Engine:
    def __init__(self, folder):
        self.folder = folder
        self.socket = folder / "sock"
        self.process = None
        self.wrapped = {}

    @classmethod
    def start(cls):
        """A running engine, tried with one container; skips with the reason if it cannot be."""
        if os.getuid() != 0:
            pytest.skip("a Docker engine can be started by root only")
        for program in ("dockerd", "docker", "busybox"):
            if not shutil.which(program):
                pytest.skip(f"{program} is not installed (docker.io, busybox-static)")
        engine = cls(Path(tempfile.mkdtemp(prefix="aviary-engine-")))
        try:
            engine.serve()
            engine.image("aviary-probe:1")
            engine.docker("run", "--rm", "--network", "none", "aviary-probe:1", "true")
        except subprocess.CalledProcessError as error:
            engine.stop()
            pytest.skip(f"no container can run here: {error.stderr.strip()[-200:]}")
        except BaseException:
            engine.stop()
            raise
        return engine

    def serve(self):
        command = ["dockerd", "--data-root", self.folder / "data",
                   "--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid",
                   "-H", f"unix://{self.socket}", "--bridge=none", "--iptables=false",
                   "--storage-driver=vfs"]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True,
                                            preexec_fn=die_with_parent)
        deadline = time.monotonic() + PATIENCE_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "log").read_text(errors="replace").strip()
                self.stop()
                pytest.skip(f"dockerd does not start here: {text[-200:]}")
            time.sleep(0.1)

    def answers(self):
        try:
            self.docker("version")
        except subprocess.CalledProcessError:
            return False
        return True

    def docker(self, *arguments, **options):
        done = subprocess.run(["docker", *arguments], check=True, timeout=PATIENCE_S,
                              encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL,
                              env=self.client_environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **options)
        return done.stdout.strip()

    def client_environment(self):
        return {**environment(), "HOME": str(self.folder),
                "DOCKER_HOST": f"unix://{self.socket}"}

    def image(self, *names):
        """Images with busybox in them, all the same but for their names."""
        path = self.folder / "image.tar"
        path.write_bytes(busybox_tar())
        self.docker("import", str(path), names[0])
        for name in names[1:]:
            self.docker("tag", names[0], name)
        path.unlink()

    def environment(self, compose):
        """Of a process that finds this engine, and that Compose: `docker-compose` is the one of
        Python, `docker compose` the plugin. Skips if it is not installed."""
        if compose not in self.wrapped:
            self.wrapped[compose] = self.wrap(compose)
        home = self.wrapped[compose]
        return {**environment(), "HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}"}

    def wrap(self, compose):
        plugin, old = find_plugin(), shutil.which("docker-compose")
        if compose == "docker compose" and not plugin:
            pytest.skip("the plugin 'docker compose' is not installed")
        if compose == "docker-compose" and (not old or not self.version(old).startswith("1.")):
            pytest.skip("docker-compose 1.29 is not installed")
        home = Path(tempfile.mkdtemp(dir=self.folder))
        (home / "bin").mkdir()
        (home / ".docker/cli-plugins").mkdir(parents=True)
        refusal = ""
        if compose == "docker compose":
            (home / ".docker/cli-plugins/docker-compose").symlink_to(plugin)
            old = "false"
        else:
            refusal = '[ "$1" = compose ] && exit 1\n'
        self.script(home / "bin/docker", refusal, shutil.which("docker"))
        self.script(home / "bin/docker-compose", "", old)
        return home

    def script(self, path, first, program):
        path.write_text(f'#!/bin/sh\n{first}export DOCKER_HOST=unix://{self.socket}\n'
                        f'exec {program} "$@"\n')
        path.chmod(0o755)

    @staticmethod
    def version(program):
        return subprocess.run([program, "version", "--short"], stdout=subprocess.PIPE, check=False,
                              encoding="utf-8", timeout=PATIENCE_S).stdout.strip()

    def containers(self, project):
        """{service: (image, state)} of a project."""
        text = self.docker("ps", "-a", "--filter", f"label=com.docker.compose.project={project}",
                           "--format",
                           '{{.Label "com.docker.compose.service"}} {{.Image}} {{.State}}')
        return {line.split()[0]: tuple(line.split()[1:]) for line in text.splitlines()}

    def stop(self):
        """Its containers end with it."""
        if self.process and self.process.poll() is None:
            try:
                for each in self.docker("ps", "-aq").split():
                    self.docker("rm", "-f", each)
            except (subprocess.SubprocessError, OSError):
                pass  # the engine is not well; what it runs ends with it
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Registry(WebServer):
    """Has the images that were added; while `sick` it answers 503, as an overloaded one does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            server = self.server
            if self.path == "/v2/":
                self.answer(200, "application/json", b"{}")
                return
            server.asked.append(self.path)
            if server.sick:
                self.refuse(503, "UNAVAILABLE", "come back later")
            elif self.path in server.answers:
                self.answer(200, *server.answers[self.path])
            else:
                self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")

        do_HEAD = do_GET

        def refuse(self, status, code, message):
            body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
            self.answer(status, "application/json", body)

        def answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Docker-Distribution-API-Version", "registry/2.0")
            self.send_header("Docker-Content-Digest", digest(body))
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def __init__(self):
        super().__init__(self.Handler)
        self.sick, self.asked, self.answers = False, [], {}
        self.address = f"127.0.0.1:{self.port}"

    def add(self, name, tag, layer):
        """An image of one layer (a tar file); returns its digest."""
        packed = gzip.compress(layer, mtime=0)
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
        kinds = {kind: f"application/vnd.docker.{kind}" for kind in (
            "distribution.manifest.v2+json", "container.image.v1+json",
            "image.rootfs.diff.tar.gzip")}
        manifest_kind, config_kind, layer_kind = kinds.values()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": manifest_kind,
            "config": {"mediaType": config_kind, "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": layer_kind, "size": len(packed),
                        "digest": digest(packed)}]}).encode()
        for body in (config, packed):
            self.answers[f"/v2/{name}/blobs/{digest(body)}"] = ("application/octet-stream", body)
        for reference in (tag, digest(manifest)):
            self.answers[f"/v2/{name}/manifests/{reference}"] = (manifest_kind, manifest)
        return digest(manifest)
