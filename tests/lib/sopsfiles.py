"""`aviary secrets` for tests: runs it with given keys only, and finds the fixtures."""

import json
import os
import subprocess
from pathlib import Path

from tests.lib.fleet import AVIARY, ROOT, environment

FIXTURES = ROOT / "tests/fixtures/sops"
SHARED = Path(os.environ.get("AVIARY_SHARED", ROOT.parent / "shared")) / "fixtures/sops/upstream"
STATUS = {"ok": 0, "no-key": 128, "unsupported": 128, "value-error": 25, "mac-mismatch": 51,
          "metadata-error": 1, "format-error": 1, "not-encrypted": 1}


def cases(folder):
    """Cases of a folder of fixtures; [] where it is absent."""
    path = folder / "cases.json"
    return json.loads(path.read_text())["cases"] if path.exists() else []


class Person:
    """Somebody with a home of their own and nothing in the environment that tells keys."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.env = {key: value for key, value in environment().items()
                    if not key.startswith(("SOPS_", "XDG_", "EDITOR"))}
        self.env |= {"HOME": str(folder)}

    def run(self, *arguments, text=None, env=None, **more):
        """Of `aviary secrets`; stdout and stderr as bytes."""
        return subprocess.run([AVIARY, "secrets", *map(str, arguments)], check=False, timeout=120,
                              env=self.env | (env or {}), input=text or b"", cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def good(self, *arguments, **more):
        """stdout of a run that must succeed."""
        done = self.run(*arguments, **more)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def make_key(self, name="key.txt"):
        """Make a key and use it; returns its recipient."""
        done = self.run("keygen", "-o", name)
        assert done.returncode == 0, done.stderr.decode()
        self.env["SOPS_AGE_KEY_FILE"] = str(self.folder / name)
        return done.stderr.decode().split()[-1]

    def take_keys(self, folder, names):
        """Those of a case: age keys in one file, an SSH key in another."""
        age, ssh = [], []
        for name in names:
            text = (folder / "keys" / name).read_text()
            (ssh if "PRIVATE KEY" in text else age).append(text)
        assert len(ssh) <= 1, "there is one variable for an SSH key"
        for texts, variable in (age, "SOPS_AGE_KEY_FILE"), (ssh, "SOPS_AGE_SSH_PRIVATE_KEY_FILE"):
            if texts:
                self.env[variable] = str(self.write(variable, "\n".join(texts), 0o600))
        return self

    def path(self, name):
        return self.folder / name

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def read(self, name):
        return (self.folder / name).read_bytes()
