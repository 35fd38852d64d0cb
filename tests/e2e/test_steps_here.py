"""Steps on the service machine: commands in a checkout of the commit, and requests."""

import http.server
import re

import pytest

from tests.lib.asking import alive, done, left_over, run
from tests.lib.fleet import POLICY, VARIABLES, WITH_API
from tests.lib.gitserver import git
from tests.lib.webserver import WebServer

TOKEN = "token-of-the-announcements"
TOOL = "tools/announce"
TOOL_TEXT = r"""#!/bin/sh
control=CONTROL
{ printf '%s|' "$AVIARY_STEP" "$AVIARY_CLIENT" "$AVIARY_ACTION" "$AVIARY_COMMIT" "$(pwd)" "$@"
	echo; } >> "$control/announced"
echo "the token is $(sed -n 's/.*"announce_token":"\([^"]*\)".*/\1/p' "$AVIARY_SECRETS")"
if env | grep "token-of-the"; then exit 1; fi
cat word
for script in "$control/announce.sh" "$control/announce-$AVIARY_CLIENT.sh"; do
	if [ -e "$script" ]; then . "$script"; fi
done
"""
ODD = ["a b", "$(touch pwned)", "'; touch pwned; '", "-n", "line\nbreak", "`id`", "*"]


class Hook(WebServer):
    """Takes requests down, and answers with `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self.server.asked.append((self.command, self.path, self.headers["X-Token"], body))
            self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
            self.end_headers()
            self.wfile.write(f"heard with {self.headers['X-Token']}".encode())

        do_PUT = do_POST

    def __init__(self):
        super().__init__(self.Handler)
        self.asked, self.answers = [], []


@pytest.fixture(name="hook")
def serve_hook():
    with Hook() as server:
        yield server


def define(fleet, steps, order="[announce, deploy, verify]"):
    """A command `announce`, or what else is in steps."""
    fleet.write(TOOL, TOOL_TEXT.replace("CONTROL", str(fleet.control)))
    (fleet.work / TOOL).chmod(0o755)
    fleet.write("word", "first word\n")
    fleet.write_secrets("service", announce_token=TOKEN)
    fleet.write(POLICY, fleet.read(POLICY)
                + f"steps:\n{steps}lifecycle: {{upgrade: {order}}}\n")
    commit = fleet.push("Steps on the service machine")
    fleet.settle()
    assert fleet.ends(commit) == ["succeeded"]


def command(**more):
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return f"  announce: {{command: [{TOOL}]{keys}}}\n"


def announced(fleet, client=None):
    """[step, client, action, commit, folder, arguments...] of each run."""
    path = fleet.control / "announced"
    found = [part.split("|")[:-1] for part in re.split(r"(?<=\|)\n", path.read_text()) if part] \
        if path.exists() else []
    return [each for each in found if client in (None, each[1])]


def kept_output(fleet, commit, client="alpha"):
    return done(fleet.command("logs", fleet.rollouts(commit)[-1]["id"], client))


def test_a_command_runs_in_a_checkout_of_its_commit(fleet):
    arguments = ", ".join('"' + each.replace("\n", "\\n") + '"' for each in ODD)
    define(fleet, f"  announce: {{command: [{TOOL}, {arguments}]}}\n")
    fleet.write("word", "second word\n")
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    for client in WITH_API:
        ((step, _, action, at, folder, *rest),) = announced(fleet, client)
        assert (step, action, at, rest) == ("announce", "upgrade", commit, ODD)
        assert folder == str(fleet.state / f"steps/{client}/checkout")
    assert not list(fleet.folder.rglob("pwned"))
    assert not left_over(fleet)
    text = kept_output(fleet, commit)
    assert "second word" in text and "the token is ********" in text and TOKEN not in text
    assert TOKEN not in fleet.service.log()
    verified = fleet.command("history", "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "runs announce on alpha" in done(fleet.command("replay", fleet.rollouts(commit)[0]["id"]))


@pytest.mark.parametrize("script, keys, reason", [
    ("echo no route; exit 9\n", {}, "announce ended with status 9: no route"),
    ('sleep 1000 & echo $! > "$control/sleeper"; wait\n', {"timeout": "1s"},
     "announce did not end within 1s"),
])
def test_a_command_that_fails_touches_nothing(fleet, script, keys, reason):
    define(fleet, command(**keys))
    fleet.put("announce-alpha.sh", script)
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]} and fleet.ends(commit) == ["failed"]
    assert not fleet.activations(commit=commit) and fleet.versions()["alpha"] == "1.0.0"
    record = fleet.service.api("clients/alpha")
    assert record["state"] == "failed" and record["held"]["reason"].startswith(reason)
    assert not left_over(fleet)
    sleeper = fleet.control / "sleeper"
    if sleeper.exists():
        fleet.wait_for("the end of its group", lambda: not alive(int(sleeper.read_text())))


def test_killed_in_a_command_the_next_service_waits_for_it(fleet):
    define(fleet, command())
    # What it says goes to the service: it must have said all before nobody is there to hear it.
    fleet.put("announce-alpha.sh",
              ': > "$control/waits"; until [ -e "$control/go" ]; do sleep 0.02; done\n')
    commit = fleet.upgrade("1.0.1")
    fleet.wait_for("the command", (fleet.control / "waits").exists)
    fleet.service.kill()
    fleet.start()
    fleet.wait_for("the rollout to go on", lambda: fleet.service.log().count(
        "running step client=alpha") == 2)
    assert len(announced(fleet, "alpha")) == 1
    fleet.put("go", "now")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert len(announced(fleet, "alpha")) == 2 and len(announced(fleet, "beta")) == 1
    assert not left_over(fleet)


def http_step(hook, **more):
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return (f'  announce: {{http: "http://127.0.0.1:{hook.port}/of/{{{{client_name}}}}", '
            f'headers: {{X-Token: "{{{{secrets.announce_token}}}}"}}, '
            f'body: "{{{{domain}}}} at {{{{secrets.announce_token}}}}"{keys}}}\n')


def test_a_request_is_made_for_each_client(fleet, hook):
    define(fleet, http_step(hook, method="PUT", status=202))
    hook.answers = [202] * 4
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert sorted(hook.asked) == sorted(
        ("PUT", f"/of/{client}", TOKEN, f"{client}.example.org at {TOKEN}") for client in WITH_API)
    text = kept_output(fleet, commit)
    assert "PUT answered 202" in text and "heard with ********" in text and TOKEN not in text


def test_a_request_is_repeated_only_while_the_server_is_busy(fleet, hook):
    fleet.edit(POLICY, "activate_timeout: 20s", "activate_timeout: 20s\n  retries: 1")
    define(fleet, http_step(hook, timeout="60s"))
    hook.answers = [503, 200, 200, 200, 200]
    commit = fleet.upgrade("1.0.1")
    fleet.settle()
    assert fleet.results(commit) == {client: ["succeeded"] for client in WITH_API}
    assert [path for _, path, *_ in hook.asked].count("/of/alpha") == 2
    hook.answers = [500]
    commit = fleet.upgrade("1.0.2")
    fleet.settle()
    assert fleet.results(commit) == {"alpha": ["failed"]}
    reason = fleet.service.api("clients/alpha")["held"]["reason"]
    assert reason.startswith("announce was answered 500, not 200")
    assert [path for _, path, *_ in hook.asked].count("/of/alpha") == 3
    assert not fleet.activations(commit=commit)


def test_what_a_step_could_not_do_is_said_before_anything_begins(idle_fleet):
    fleet = idle_fleet
    fleet.write_secrets("service", announce_token=TOKEN)
    whole = fleet.read(POLICY)

    def refuses(steps, *sentences):
        fleet.write(POLICY, f"{whole}steps:\n{steps}lifecycle: "
                    "{upgrade: [announce, deploy, verify]}\n")
        said = run("validate", fleet.work)
        assert said.returncode == 1, said.stdout
        for sentence in sentences:
            assert sentence in said.stdout + said.stderr, said.stdout + said.stderr

    refuses('  announce: {http: "http://h/{{nobody}}"}\n', "nobody", "fleet.yaml:")
    refuses('  announce: {http: "http://h/", headers: {A: "{{secrets.nothing}}"}}\n', "nothing")
    refuses("  announce: {http: ftp://h/}\n", "begin it with http:// or https://")
    refuses("  announce: {http: http://h/, command: [a]}\n", "'command' and 'http'")
    refuses("  announce: {command: [a], body: x}\n", "means something for http steps only")
    refuses("  announce: {command: ['{{client_name}}']}\n", "is a template", "AVIARY_CLIENT")
    fleet.write(VARIABLES, fleet.read(VARIABLES) + 'odd: "a\\r\\nX-Other: b"\n')
    refuses('  announce: {http: "http://h/", headers: {A: "{{odd}}"}}\n', "line break")
    fleet.write_secrets("service", announce_token=TOKEN)
    fleet.write_secrets("service", hook_url="https://h/of-nobody-else")
    fleet.write(POLICY, f'{whole}steps: {{announce: {{http: "{{{{secrets.hook_url}}}}"}}}}\n'
                "lifecycle: {upgrade: [announce, deploy, verify]}\n")
    done(run("validate", fleet.work))  # what it becomes shows only with a key
    (fleet.work / "link").symlink_to("/etc/passwd")
    git(fleet.work, "add", "-A")
    refuses("  announce: {command: [a]}\n", "'link' is a symbolic link")
