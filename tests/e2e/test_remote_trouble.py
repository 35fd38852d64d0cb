"""A remote that accepts connections and falls silent: at once, in a TLS handshake, after the SSH
banner, in the middle of a pack. The service lives on, says so, and delays no rollback.
"""

import contextlib
import select
import socket
import threading

import pytest

from tests.lib.faulty import Site, scratch_folder, wait_until
from tests.lib.gitserver import HttpsServer, SshServer

DEADLINE = {"AVIARY_TEST_REMOTE_MS": "1000"}
PATIENT = {"AVIARY_TEST_REMOTE_MS": "600000"}  # never ends by itself in a test


class Line:
    """A TCP line to a port. After limit bytes from there (None: never) a connection is silent,
    which is counted; the limit may change for connections that come."""

    def __init__(self, port):
        self.target, self.limit, self.silent = port, None, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stop, self.stopped = socket.socketpair()
        self.threads = [threading.Thread(target=self._accept)]

    def _accept(self):
        while True:
            ready, _, _ = select.select([self.listener, self.stopped], [], [])
            if self.stopped in ready:
                return
            peer, _ = self.listener.accept()
            thread = threading.Thread(target=self._carry, args=(peer, self.limit))
            self.threads.append(thread)
            thread.start()

    def _carry(self, peer, limit):
        with peer, contextlib.suppress(OSError):
            if limit == 0:
                self._hold(peer)
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                self._copy(peer, server, limit)

    def _hold(self, peer):
        self.silent += 1
        while self.stopped not in select.select([peer, self.stopped], [], [])[0]:
            if not peer.recv(65536):
                return

    def _copy(self, peer, server, limit):
        while True:
            ready, _, _ = select.select([peer, server, self.stopped], [], [])
            if self.stopped in ready:
                return
            if peer in ready:
                data = peer.recv(65536)
                if not data:
                    return
                server.sendall(data)
            if server in ready:
                data = server.recv(65536 if limit is None else limit)
                peer.sendall(data)
                if not data:
                    return
                limit = None if limit is None else limit - len(data)
                if limit == 0:
                    self._hold(peer)
                    return

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.stop.close()
        for thread in self.threads:
            thread.join()
        self.listener.close()
        self.stopped.close()


@pytest.fixture(name="folder", scope="module")
def make_folder():
    with scratch_folder("remote") as folder:
        yield folder


@pytest.fixture(name="ready", scope="module")
def make_ready(folder):
    return Site.make_ready(folder / "ready")


@pytest.fixture(name="site")
def copy_ready(ready, request):
    with ready.copy_for(request) as site:
        secret = site.folder / "secret"
        secret.write_text("hook")
        secret.chmod(0o600)
        yield site


@contextlib.contextmanager
def line_to(site, kind, folder):
    """The site's remote by http, https or ssh, over a Line; yields it."""
    hook = f"webhooks: [{{forge: gitea, secret_file: {site.folder}/secret}}]\n"
    if kind == "ssh":
        with SshServer(folder) as server, Line(server.port) as line:
            site.url = f"ssh://{server.user}@127.0.0.1:{line.port}{site.bare}"
            known = folder / "known_hosts"
            key = server.host_key.with_suffix(".pub").read_text()
            known.write_text(f"[127.0.0.1]:{line.port} {key}")
            site.extra = f"  ssh_key_file: {server.key}\n  known_hosts_file: {known}\n{hook}"
            yield line
        return
    with HttpsServer(folder, site.folder, tls=kind == "https") as server:
        site.git("config", "http.receivepack", "true")
        with Line(server.port) as line:
            site.url = f"{kind}://127.0.0.1:{line.port}/infra.git"
            site.extra = (f"  ca_file: {server.ca}\n" if server.ca else "") + hook
            yield line


SILENCES = {"tcp": ("http", 0), "tls handshake": ("https", 700), "ssh banner": ("ssh", 21)}


@pytest.mark.parametrize("where", SILENCES)
def test_a_silent_remote_is_told_and_nothing_else_suffers(site, where, tmp_path):
    kind, limit = SILENCES[where]
    with line_to(site, kind, tmp_path) as line, site.serve(DEADLINE) as service:
        service.wait_status("ready", lambda now: now.get("ready"))
        line.limit = limit
        commit = site.commit("2.0.0")
        looks = service.status()["looks"]
        wait_until("a silent connection", lambda: line.silent)
        assert service.request("GET", "/healthz")[0] == 200
        assert service.request("POST", "/webhook/gitea")[0] == 415  # no type of its body
        wait_until("not ready", lambda: service.request("GET", "/readyz")[0] == 503)
        assert service.status()["looks"] >= looks + 3
        body = service.request("GET", "/readyz")[1]
        assert "127.0.0.1" in body and ("within" in body or "did not" in body), body
        assert not site.diary("alpha")[2:]
        line.limit = None
        site.wait_ended(commit, service=service)
        assert site.running("gamma") == "2.0.0"
        wait_until("ready", lambda: service.request("GET", "/readyz")[0] == 200)


def test_silence_in_the_middle_of_a_pack_ends_at_the_deadline(site, tmp_path):
    with HttpsServer(tmp_path, site.folder, tls=False) as server:
        site.git("config", "http.receivepack", "true")
        site.url = server.url("infra.git")
        with site.serve(DEADLINE) as service:
            service.wait_status("ready", lambda now: now.get("ready"))
            server.cut_after = 60
            commit = site.commit("2.0.0")
            wait_until("not ready", lambda: service.request("GET", "/readyz")[0] == 503)
            server.cut_after = None
            assert site.wait_ended(commit, service=service) == "succeeded"


@pytest.mark.parametrize("kind", ["http", "ssh"])
def test_a_remote_that_hangs_delays_no_rollback(site, kind, tmp_path):
    """The git thread hangs in a call that would last for ten minutes; the canary goes back, and
    production is not started. With the remote back all is recorded."""
    with line_to(site, kind, tmp_path) as line, site.serve(PATIENT) as service:
        service.wait_status("ready", lambda now: now.get("ready"))
        site.arm("check:alpha:3.0.0-bad")
        commit = site.commit("3.0.0-bad")
        site.wait_gate(service)
        line.limit = 0
        wait_until("a silent connection", lambda: line.silent)
        tip = site.tip()
        site.leave()
        wait_until("the way back", lambda: [
            entry for entry in site.diary("alpha") if entry[:3] == ("end", "1.0.0", "rollback")])
        wait_until("its state", lambda: site.host_state("alpha")["phase"] == "active")
        assert site.running("alpha") == "1.0.0"
        assert site.tip() == tip
        assert not site.diary("beta")[2:]
        assert service.request("GET", "/healthz")[0] == 200
        assert service.process.poll() is None
        # the hanging call ends with the service; the next one finds a remote that answers
        service.kill()
        line.limit = None
    with line_to(site, kind, tmp_path), site.serve(PATIENT) as service:
        assert site.wait_ended(commit, service=service) == "failed"
    finals = [fact.result for fact in site.facts() if fact.client and fact.source_commit == commit
              and fact.result not in ("started", "held", "")]
    assert finals == ["rolled-back"]
    rollbacks = [entry for entry in site.diary("alpha") if entry[2:3] == ("rollback",)]
    assert len(rollbacks) == 2, rollbacks
    assert not site.diary("beta")[2:]


def test_sigterm_ends_a_call_that_hangs(site, tmp_path):
    with line_to(site, "http", tmp_path) as line, site.serve(PATIENT) as service:
        service.wait_status("ready", lambda now: now.get("ready"))
        line.limit = 0
        wait_until("a silent connection", lambda: line.silent)
        assert service.stop() == 0
