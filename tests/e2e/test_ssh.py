"""Commands over SSH sessions (base/ssh), as releases will reach hosts, against a real sshd."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lib.gitserver import SshServer  # noqa: E402

TOOL = Path(os.environ.get("AVIARY_BUILD", ROOT / "build")) / "tests/ssh_tool"
PROCESS_TIMEOUT_S = 120
MS = 60000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with SshServer(tmp_path_factory.mktemp("ssh")) as running:
        yield running


def run(server, *commands, stdin=b"", idle=MS, total=MS):
    words = [TOOL, server.key, server.known_hosts, idle, total, "127.0.0.1", server.port,
             server.user, *commands]
    done = subprocess.run([str(word) for word in words], input=stdin, stdout=subprocess.PIPE,
                          check=True, timeout=PROCESS_TIMEOUT_S)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_command_gives_output_errors_and_status(server):
    [answer] = run(server, "echo out; echo err >&2; exit 7")
    assert answer == {"stdout": "out\n", "stderr": "err\n", "status": 7, "signal": "", "ok": True}


def test_stdin_reaches_the_command_whole(server):
    data = os.urandom(3_000_000).hex().encode()
    [answer] = run(server, "sha256sum", stdin=data)
    wanted = subprocess.run(["sha256sum"], input=data, stdout=subprocess.PIPE, check=True)
    assert answer["stdout"] == wanted.stdout.decode()


def test_large_output_on_both_streams_stalls_nothing(server):
    [answer] = run(server, "head -c 4000000 /dev/zero | tr '\\0' e >&2; "
                           "head -c 4000000 /dev/zero | tr '\\0' o")
    assert answer["stdout"] == "o" * 4_000_000
    assert answer["stderr"] == "e" * 8192  # the first 8 KiB are kept


def test_killed_by_a_signal_is_not_status_0_alone(server):
    [answer] = run(server, "kill -KILL $$")
    assert answer["signal"] == "KILL"


def test_one_session_runs_one_command_after_the_other(server):
    answers = run(server, "echo one >&2", "echo two", "exit 3")
    assert [answer["stdout"] for answer in answers] == ["", "two\n", ""]
    assert [answer["stderr"] for answer in answers] == ["one\n", "", ""]
    assert answers[2]["status"] == 3


def test_command_that_says_nothing_ends_at_the_idle_limit(server, tmp_path):
    os.mkfifo(tmp_path / "never")
    [answer] = run(server, f"cat {tmp_path / 'never'}", idle=2000)
    with open(os.open(tmp_path / "never", os.O_RDWR), "w"):  # lets the command go
        pass
    assert answer["code"] == "timeout"
    assert "no answer within 2000 ms while running the command" in answer["message"]


def test_command_that_says_something_for_ever_ends_at_the_total_limit(server):
    [answer] = run(server, "exec yes >&2", total=3000)
    assert answer["code"] == "timeout" and "not finished within 3000 ms" in answer["message"]
