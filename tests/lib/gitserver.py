"""Real git servers on loopback for tests: sshd, HTTPS around `git http-backend`, and servers that
hang. Each takes a free port, lives in the folder it is given, and ends with its `with` block.

    with SshServer(tmp_path) as ssh, HttpsServer(tmp_path, repos, token="t") as https:
        url = ssh.url(repos / "infra.git")        # key: ssh.key, known hosts: ssh.known_hosts
        url = https.url("infra.git")              # CA: https.ca
"""

import base64
import contextlib
import http.server
import os
import pwd
import shlex
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from tests.lib.webserver import WebServer

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Eva", "GIT_AUTHOR_EMAIL": "eva@example.org",
    "GIT_COMMITTER_NAME": "Eva", "GIT_COMMITTER_EMAIL": "eva@example.org",
}
SSHD = "/usr/sbin/sshd"
START_TIMEOUT_S = 30


def git(folder, *arguments, **options):
    """stdout of git, without its last line break; free of the user's configuration."""
    done = subprocess.run(["git", "-C", str(folder), *map(str, arguments)], env=ENVIRONMENT,
                          check=True, stdout=subprocess.PIPE, **options)
    return done.stdout.decode().rstrip("\n")


def make_bare(path):
    """A bare repository with one commit on main; returns its path."""
    git(".", "init", "-q", "--bare", "-b", "main", path)
    tree = git(path, "hash-object", "-t", "tree", "-w", "--stdin", input=b"")
    git(path, "update-ref", "refs/heads/main", git(path, "commit-tree", "-m", "first", tree))
    return Path(path)


def commit_file(bare, branch, path, data, message="change"):
    """Commit one file onto a branch of a bare repository without a work tree; returns the id."""
    index = {**ENVIRONMENT, "GIT_INDEX_FILE": str(Path(bare) / f"index-{os.getpid()}")}

    def run(*arguments, **options):
        return subprocess.run(["git", "-C", str(bare), *arguments], env=index, check=True,
                              stdout=subprocess.PIPE, **options).stdout.decode().strip()

    parent = run("rev-parse", f"refs/heads/{branch}")
    run("read-tree", parent)
    blob = run("hash-object", "-w", "--stdin", input=data)
    run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    commit = run("commit-tree", "-p", parent, "-m", message, run("write-tree"))
    run("update-ref", f"refs/heads/{branch}", commit)
    return commit


def set_hook(bare, name, script):
    """Install a hook of a repository."""
    path = Path(bare) / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)


def make_key(path, kind="ed25519"):
    """A key pair without passphrase; returns the path of the private half."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)],
                   check=True)
    return Path(path)


def free_port():
    """A port nobody listens on now; sshd cannot take port 0 and tell."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SshServer:
    """sshd for the user that runs the tests; root or not.

    force: a command that runs instead of the one asked for (which is in SSH_ORIGINAL_COMMAND).
    key: a client key that is there already; more: further lines of sshd_config.
    """

    def __init__(self, folder, host_key="ed25519", client_key="ed25519", force=None, key=None,
                 more=()):
        self.folder = Path(folder) / f"sshd-{os.urandom(4).hex()}"
        self.folder.mkdir(parents=True)
        self.host_key = make_key(self.folder / "host_key", host_key)
        self.key = key or make_key(self.folder / "client_key", client_key)
        self.more = more
        self.known_hosts = self.folder / "known_hosts"
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.force = force
        self.port = None
        self.process = None

    def _configuration(self):
        lines = [
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.key}.pub", f"PidFile {self.folder}/pid",
            "UsePAM no", "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "MaxStartups 1000", "UseDNS no",
            # with this SHLVL a bash as login shell does not read ~/.bashrc
            "SetEnv GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C SHLVL=2",
        ]
        lines += self.more
        return "\n".join(lines + ([f"ForceCommand {self.force}"] if self.force else [])) + "\n"

    def _start(self):
        self.port = free_port()
        config = self.folder / "sshd_config"
        config.write_text(self._configuration())
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(config)], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        log = []
        for line in self.process.stderr:
            log.append(line)
            if b"Server listening" in line:
                # keep the pipe empty so that sshd never blocks on its log
                threading.Thread(target=self._drain, daemon=True).start()
                return None
        self.process.wait()
        return b"".join(log).decode(errors="replace")

    def _drain(self):
        with contextlib.suppress(ValueError):  # closed at the end
            for _ in self.process.stderr:
                pass

    def __enter__(self):
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # compiled into Debian's sshd
        error = None
        for _ in range(5):  # somebody else may take the port
            error = self._start()
            if error is None:
                self.known_hosts.write_text(self.known_hosts_line() + "\n")
                return self
        raise RuntimeError("sshd did not start: " + error)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()

    def known_hosts_line(self):
        kind, key = Path(f"{self.host_key}.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}"

    def url(self, path):
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"


def cut_after(count):
    """For SshServer(force=...): hangs after `count` bytes of answer, until the client goes."""
    script = (f'exec 3<&0; sh -c "$SSH_ORIGINAL_COMMAND" <&3 | '
              f'{{ head -c {count}; exec cat <&3 >/dev/null; }}')
    return "/bin/sh -c " + shlex.quote(script)


def make_ca(folder, name="ca"):
    """A CA of its own: folder/<name>.pem and .key."""
    folder = Path(folder)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
         "-out", folder / f"{name}.pem"], check=True, stderr=subprocess.DEVNULL)
    return folder / f"{name}.pem"


def make_certificate(ca, name="server", san="DNS:localhost,IP:127.0.0.1"):
    """A server certificate by that CA, in one file with its key."""
    folder = ca.parent
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={san}\n")
    subprocess.run(
        ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", request],
        check=True, stderr=subprocess.DEVNULL)
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"),
         "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out",
         folder / f"{name}.crt"], check=True, stderr=subprocess.DEVNULL)
    both = folder / f"{name}.pem"
    both.write_bytes((folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes())
    return both


class _Handler(http.server.BaseHTTPRequestHandler):
    """CGI for `git http-backend`, with chunked bodies both ways."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as forges do; else each answer waits 40 ms for an ACK

    def setup(self):
        if self.server.tls:
            self.request.do_handshake()  # here, not in accept(): one silent peer would block all
        super().setup()

    def log_message(self, *_):
        pass

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _plain(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _authorized(self):
        if self.server.password is None:
            return True
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        with contextlib.suppress(ValueError):
            user, _, password = base64.b64decode(value).decode().partition(":")
            self.server.users.append(user)
            return kind == "Basic" and bool(user) and password == self.server.password
        return False

    def _environment(self, body):
        path, _, query = self.path.partition("?")
        return {
            **ENVIRONMENT, "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "REMOTE_USER": "tester", "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }

    def _run_backend(self, body):
        done = subprocess.run(["git", "http-backend"], env=self._environment(body), input=body,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        cut = self.server.cut_after
        if cut is not None and self.command == "POST" and len(content) > cut:
            self.wfile.write(content[:cut])
            self.wfile.flush()
            self.connection.recv(1)  # hang until the client goes
            self.close_connection = True
            return
        self.wfile.write(content)

    def _serve(self):
        body = self._body()
        self.server.requests.append((self.command, self.path))
        if self.server.answer is not None:
            self._plain(**self.server.answer)
        elif not self._authorized():
            self._plain(401, b"who are you?", WWW_Authenticate='Basic realm="git"')
        else:
            self._run_backend(body)

    def do_GET(self):
        self._serve()

    def do_POST(self):
        self._serve()


class HttpsServer(WebServer):
    """`git http-backend` for the repositories below `root`, by TLS, or plain with tls=False.

    password: what Basic authentication must bring, with any user; None = none asked
    answer: dict(status, body, **headers) that every request gets instead; cut_after: hang after so
    many bytes of a POST's answer. users and requests keep what came.
    """

    def __init__(self, folder, root, password=None, tls=True, certificate=None,
                 tls_versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
        super().__init__(_Handler)
        self.root, self.password, self.tls = root, password, tls
        self.answer = self.cut_after = None
        self.users, self.requests = [], []
        self.ca = None
        if tls:
            keep = Path(folder) / f"https-{os.urandom(4).hex()}"
            keep.mkdir(parents=True)
            self.ca = make_ca(keep)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version, context.maximum_version = tls_versions
            context.load_cert_chain(certificate or make_certificate(self.ca))
            self.socket = context.wrap_socket(self.socket, server_side=True,
                                              do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass  # clients that break off are what the tests are about

    def url(self, name, host="127.0.0.1"):
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}/{name}"


class SilentServer:
    """Accepts, sends `greeting`, and says nothing more; with a certificate after a TLS handshake."""

    def __init__(self, greeting=b"", certificate=None):
        self.greeting, self.context = greeting, None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.peers = []
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
                if self.context:
                    peer = self.context.wrap_socket(peer, server_side=True)
                peer.sendall(self.greeting)
                self.peers.append(peer)
            except OSError:
                if self.listener.fileno() < 0:
                    return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for peer in self.peers:
            peer.close()
