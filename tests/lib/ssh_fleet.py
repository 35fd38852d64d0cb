"""A fleet whose hosts are real sshd on loopback, one for each client, with the driver `ssh`.

The roots are folders below the fleet's own, as with the driver `local`, so that a test can look at
them.
"""

import contextlib
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from tests.lib.fleet import CLIENTS, INVENTORY, POLICY, Fleet
from tests.lib.gitserver import SshServer, make_key

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
HOSTS_TEXT = """\
hosts: {{ssh_key_file: "{folder}/keys/hosts-key", known_hosts_file: "{folder}/keys/known-hosts"}}
"""


class Hosts:
    """One sshd for each client; all know one key."""

    def __init__(self, folder, clients=CLIENTS, **options):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = make_key(self.folder / "key")
        self.servers = {client: SshServer(self.folder, key=self.key, **options)
                        for client in clients}
        self.user = next(iter(self.servers.values())).user

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for server in self.servers.values():
                stack.enter_context(server)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def ports(self):
        return {client: server.port for client, server in self.servers.items()}

    def known_hosts(self):
        return "".join(server.known_hosts_line() + "\n" for server in self.servers.values())


class SshFleet(Fleet):
    def __init__(self, folder, checks, hosts):
        super().__init__(folder, checks)
        self.hosts = hosts

    def configure(self, poll="1h", **changes):
        super().configure(poll, **changes)
        self.write_key("hosts-key", self.hosts.key.read_text())
        self.write_known_hosts()
        text = self.service.config.read_text()
        self.service.config.write_text(text + HOSTS_TEXT.format(folder=self.folder))

    def write_known_hosts(self, text=None):
        self.write_key("known-hosts", text or self.hosts.known_hosts())

    def write_infra(self):
        super().write_infra()
        self.edit(POLICY, "kind: local", f"kind: ssh\n  user: {self.hosts.user}")
        # a check is a login: under load it takes its time
        self.edit(POLICY, "timeout: 1500ms", "timeout: 15s")
        for client, port in self.hosts.ports().items():
            self.set_variable(client, "ansible_host", "127.0.0.1")
            self.set_variable(client, "ansible_port", port)

    def set_variable(self, client, name, value):
        """A variable of a client's inventory entry; None: not there."""
        lines, entry = [], False
        for line in self.read(INVENTORY).splitlines():
            if entry and line.strip().startswith(f"{name}:"):
                continue
            lines.append(line)
            entry = line.startswith("         ") and entry
            if line.strip() == f"client_name: {client}":
                entry = True
                if value is not None:
                    lines.append(f"          {name}: {value}")
        self.write(INVENTORY, "\n".join(lines) + "\n")

    def set_port(self, client, port):
        self.set_variable(client, "ansible_port", port)


def busybox_command(folder):
    """What SshServer(force=...) runs so that a host has busybox and nothing else."""
    folder = Path(folder) / "busybox"
    if not folder.exists():
        folder.mkdir(parents=True)
        listed = subprocess.run([BUSYBOX, "--list"], check=True, stdout=subprocess.PIPE)
        for name in listed.stdout.decode().split():
            (folder / name).symlink_to(BUSYBOX)
    return f'PATH={folder}; export PATH; exec {folder}/sh -c "$SSH_ORIGINAL_COMMAND"'


# POSIX shell, tar and coreutils, as docs/hosts.md names them
NEEDED = ("cat", "chmod", "cp", "date", "head", "ln", "ls", "mkdir", "mkfifo", "mv", "readlink", "rm",
          "sha256sum", "sh", "sleep", "sync", "tar", "timeout", "touch")
CHECKED = ("grep", "sed")  # by the tests' own activate and check


def minimal_command(folder, without=()):
    """For SshServer(force=...): a host that has what is needed and nothing else."""
    folder = Path(folder) / "minimal"
    folder.mkdir(parents=True)
    for name in NEEDED + CHECKED:
        if name not in without:
            (folder / name).symlink_to(shutil.which(name))
    return f'PATH={folder}; export PATH; exec {folder}/sh -c "$SSH_ORIGINAL_COMMAND"'


class Proxy:
    """Passes bytes on to a port and counts them; `cut_after` closes once so many went up."""

    def __init__(self, port):
        self.target = port
        self.cut_after = None
        self.up = self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [client, server]
            for source, sink, counts in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, counts),
                                 daemon=True).start()

    def _pump(self, source, sink, counts):
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if counts:
                    self.up += len(data)
                    sent += len(data)
                    if self.cut_after is not None and sent > self.cut_after:
                        self.cut_after = None
                        break
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """Both sides of every connection see it end."""
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for each in self.sockets:
            each.close()
