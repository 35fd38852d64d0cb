"""`make install`: what it installs, and that the unit and the man pages fit the program."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("AVIARY_BUILD", ROOT / "build"))
PREFIX = "/opt/test"


@pytest.fixture(name="root", scope="module")
def make_root(tmp_path_factory):
    """The tree below DESTDIR. The build is the one under test: only copying is left to do."""
    root = tmp_path_factory.mktemp("install")
    sanitizers = BUILD.name.partition("build-")[2]
    flags = [f"SAN={sanitizers}", "CFLAGS=-O1 -g"] if sanitizers else []
    done = subprocess.run(["make", "install", f"DESTDIR={root}", f"PREFIX={PREFIX}",
                           f"BUILD={os.path.relpath(BUILD, ROOT)}", *flags],
                          cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def installed(root, path):
    return root / PREFIX.lstrip("/") / path


def test_everything_is_where_it_belongs(root):
    found = {str(path.relative_to(root / PREFIX.lstrip("/")))
             for path in root.rglob("*") if path.is_file()}
    assert found >= {"bin/aviary", "lib/systemd/system/aviary.service", "lib/sysusers.d/aviary.conf",
                     "share/man/man1/aviary.1", "share/man/man5/aviary.yaml.5",
                     "share/man/man5/fleet.yaml.5"}
    assert {path.split("/")[0] for path in found} == {"bin", "lib", "share"}


def test_the_installed_program_runs(root):
    done = subprocess.run([installed(root, "bin/aviary"), "--version"], check=True,
                          capture_output=True, text=True)
    assert done.stdout.startswith("aviary ")


def test_the_man_page_tells_each_command(root):
    page = installed(root, "share/man/man1/aviary.1").read_text()
    usage = subprocess.run([installed(root, "bin/aviary"), "--help"], check=True,
                           capture_output=True, text=True).stdout
    commands = re.findall(r"^  (\w+)  ", usage, re.M)
    assert "serve" in commands
    for command in commands:
        assert f".Ss aviary {command}\n" in page
    for section in ("ENVIRONMENT", "FILES", "EXIT STATUS", "SIGNALS"):
        assert f".Sh {section}\n" in page


@pytest.mark.parametrize("page, keys", [
    ("aviary.yaml.5", ["listen", "repository.url", "repository.poll_interval", "status.branch",
                       "webhooks[].secret_file", "age_key_file", "api.tokens[].may"]),
    ("fleet.yaml.5", ["version", "stages[].bake", "release.files[].mode", "driver.root",
                      "checks.NAME.http", "verify.healthy", "policy.max_changed"])])
def test_the_man_pages_tell_each_key(root, page, keys):
    text = installed(root, f"share/man/man5/{page}").read_text()
    for key in keys:
        assert f".It Ic {key}\n" in text
    # each of them says something about itself
    assert not re.search(r"^\.It Ic [^\n]*\n\.It", text, re.M)


def test_the_man_pages_are_good_mdoc(root):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    for page in installed(root, "share/man").rglob("*.[15]"):
        done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], check=False,
                              capture_output=True, text=True)
        assert not done.stdout, done.stdout


def test_the_unit_starts_what_is_installed(root):
    unit = installed(root, "lib/systemd/system/aviary.service").read_text()
    assert f"ExecStart={PREFIX}/bin/aviary serve -c /etc/aviary/aviary.yaml\n" in unit
    assert "@PREFIX@" not in unit
    for line in ("Type=notify", "WatchdogSec=30", "LimitMEMLOCK=64M", "LimitCORE=0",
                 "NoNewPrivileges=yes", "ProtectSystem=strict"):
        assert line in unit.splitlines()


def test_systemd_understands_the_unit(root, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = installed(root, "lib/systemd/system/aviary.service").read_text()
    # verify looks for the program and for the pages where the unit says
    here = re.sub(r"^ExecStart=\S+", f"ExecStart={installed(root, 'bin/aviary')}", unit, flags=re.M)
    here = re.sub(r"^Documentation=.*\n", "", here, flags=re.M)
    copy = tmp_path / "aviary.service"
    copy.write_text(here)
    done = subprocess.run(["systemd-analyze", "verify", copy], check=False, capture_output=True,
                          text=True)
    assert "aviary.service" not in done.stderr, done.stderr
