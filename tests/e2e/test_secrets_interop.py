"""The command and real `sops`, turn by turn over the same random trees.

Skipped where `sops` is not in PATH. SECRETS_SEED repeats a run, SECRETS_TREES makes it longer.
"""

import json
import os
import random
import shutil
import string
import subprocess

import pytest

from tests.lib.sopsfiles import Person

TREES = int(os.environ.get("SECRETS_TREES", "6"))
SEED = os.environ.get("SECRETS_SEED") or str(random.randrange(10**9))
KINDS = ("yaml", "json", "env", "ini", "bin")
ODD = ["", " ", "yes", "no", "null", "~", "1", "0644", "1e3", ".inf", "true", "2020-02-03", "a: b",
       "a #b", "# c", "- x", "'q'", '"q"', "\\n", "\\", "tab\there", "two\nlines", "end\n",
       "\n\nstart", "é", "日本", "\U0001f600", "ENC[AES256_GCM", "{{x}}", "&a", "*a", "!x", "%", "@",
       "`", "|", ">", "x" * 300, "=", "a=b", "[", "]", "{", "}", ",", "?", ":", "trailing ",
       "\u00a0", "1_000", "0x1f", "12:30", "<<", "on", "Y", "-", "--- a", "..."]


@pytest.fixture(name="eva")
def make_eva(tmp_path):
    if not shutil.which("sops"):
        pytest.skip("sops is not in PATH")
    eva = Person(tmp_path / "eva")
    eva.recipient = eva.make_key()
    eva.write(".sops.yaml", f"creation_rules:\n  - age: {eva.recipient}\n")
    return eva


def sops(eva, *arguments, good=True):
    done = subprocess.run(["sops", *arguments], env=eva.env, cwd=eva.folder, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert not good or done.returncode == 0, (SEED, done.stderr.decode())
    return done.stdout if good else done


class Trees:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, lines=True):
        """Blocks that start with a blank or an empty line: docs/deviations.md."""
        text = self.any_text(lines)
        return "x" + text if "\n" in text and text[0] in " \n\t" else text

    def any_text(self, lines):
        pick = self.random.random()
        if pick < 0.5:
            text = self.random.choice(ODD)
            return text if lines else text.replace("\n", "").replace("\r", "")
        letters = string.ascii_letters + string.digits + "_-. :#'\"" + ("\n" if lines else "")
        return "".join(self.random.choice(letters) for _ in range(self.random.randrange(1, 30)))

    def key(self):
        return "".join(self.random.choice(string.ascii_letters + "_-. 0é")
                       for _ in range(self.random.randrange(1, 9))) or "k"

    def scalar(self):
        return self.random.choice([
            self.text, lambda: self.random.randrange(-2**40, 2**40),
            lambda: self.random.choice([True, False]), lambda: None,
            lambda: round(self.random.uniform(-1e6, 1e6), self.random.randrange(1, 9))])()

    def tree(self, depth=0):
        pick = self.random.random()
        if depth == 0 or (pick < 0.25 and depth < 4):
            return {self.key(): self.tree(depth + 1) for _ in range(self.random.randrange(1, 6))}
        if pick < 0.4 and depth < 4:
            return [self.tree(depth + 1) for _ in range(self.random.randrange(0, 4))]
        return self.scalar()

    def file(self, kind):
        if kind in ("yaml", "json"):  # JSON is YAML
            return json.dumps(self.tree(), ensure_ascii=False, indent=self.random.choice([None, 1]))
        if kind == "env":
            lines = [f"{self.name()}={self.text(False)}" for _ in range(self.random.randrange(1, 9))]
            return "\n".join(lines + ["# a comment"]) + "\n"
        if kind == "ini":
            lines = []
            for _ in range(self.random.randrange(1, 4)):
                lines.append(f"[{self.name()}]")
                lines += [f"{self.name()} = {self.name()}" for _ in range(self.random.randrange(1, 5))]
            return "\n".join(lines) + "\n"
        return self.text() + "\0\n"

    def name(self):
        return "".join(self.random.choice(string.ascii_uppercase) for _ in range(8))


@pytest.mark.parametrize("kind", KINDS)
def test_each_opens_what_the_other_writes(eva, kind):
    trees = Trees(f"{SEED}-{kind}")
    for _ in range(TREES):
        name, plain = f"a.{kind}", trees.file(kind)
        eva.write(name, plain)
        theirs = sops(eva, "encrypt", name, good=False)
        ours = eva.run("encrypt", name)
        assert (theirs.returncode == 0) == (ours.returncode == 0), \
            (SEED, plain, theirs.stderr, ours.stderr)
        if theirs.returncode:
            continue
        eva.write(f"theirs.{kind}", theirs.stdout)
        eva.write(f"ours.{kind}", ours.stdout)
        wanted = sops(eva, "decrypt", f"theirs.{kind}")
        assert eva.good("decrypt", f"theirs.{kind}") == wanted, (SEED, plain)
        assert eva.good("decrypt", f"ours.{kind}") == wanted, (SEED, plain)
        assert sops(eva, "decrypt", f"ours.{kind}") == wanted, (SEED, plain)


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_they_take_turns_on_one_file(eva, tmp_path, kind):
    """set, unset, rotate, updatekeys by either; both print the same after each step."""
    ada = Person(tmp_path / "ada").make_key()
    trees = Trees(f"{SEED}-turns-{kind}")
    name = f"a.{kind}"
    eva.write(name, json.dumps({"a": {"b": ["x", "y"]}, "keep": "this-value", "more": 1}))
    eva.good("encrypt", "-i", name)
    steps = [("set", name, '["a"]["b"][0]', json.dumps(trees.text())),
             ("set", name, '["new"]', json.dumps(trees.tree())),
             ("set", name, '["a"]["b"][2]', "42"),
             ("unset", name, '["more"]'),
             ("rotate", "-i", "--add-age", ada, name),
             ("set", name, '["a"]["c"]', '"after-rotation"'),
             ("updatekeys", "-y", name),
             ("rotate", "-i", name)]
    for number, step in enumerate(steps * 2):
        if number % 2 == 0:
            eva.good(*step)
        elif step[0] == "unset" and number > len(steps):
            continue
        else:
            sops(eva, *step)
        if number == 2:
            eva.good("set", name, '["more"]', "2")
        wanted = sops(eva, "decrypt", name)
        assert eva.good("decrypt", name) == wanted, (SEED, step)
        if step[0] == "unset" and number < len(steps):
            eva.good("set", name, '["more"]', "3")  # for the second time round
    assert json.loads(eva.good("decrypt", "--output-type", "json", name))["keep"] == "this-value"


def test_exit_states_are_those_of_sops(eva, tmp_path):
    eva.write("a.yaml", "a: value-one\nb: value-two\n")
    eva.good("encrypt", "-i", "a.yaml")
    text = eva.read("a.yaml").decode()
    first, second, *rest = text.splitlines(True)
    broken = {
        "value.yaml": first.replace("data:", "data:AA") + second + "".join(rest),
        "mac.yaml": first + "".join(rest),
        "again.yaml": text,
    }
    for name, content in broken.items():
        eva.write(name, content)
    nobody = Person(tmp_path / "nobody")
    for who, arguments in [(eva, ("decrypt", "value.yaml")), (eva, ("decrypt", "mac.yaml")),
                           (eva, ("encrypt", "again.yaml")),
                           (nobody, ("decrypt", str(eva.path("a.yaml"))))]:
        assert who.run(*arguments).returncode == sops(who, *arguments, good=False).returncode, \
            arguments
    env = {"EDITOR": "true"}
    eva.env |= env
    assert eva.run("edit", "a.yaml").returncode == 200
    assert sops(eva, "edit", "a.yaml", good=False).returncode == 200


def test_extracted_values_are_printed_alike(eva):
    trees = Trees(f"{SEED}-extract")
    tree = {"a": {"b": [trees.scalar() for _ in range(9)]}, "m": trees.tree()}
    eva.write("a.yaml", json.dumps(tree, ensure_ascii=False))
    eva.good("encrypt", "-i", "a.yaml")
    for path in ['["m"]', '["a"]', *(f'["a"]["b"][{i}]' for i in range(9))]:
        theirs = sops(eva, "decrypt", "--extract", path, "a.yaml", good=False)
        ours = eva.run("decrypt", "--extract", path, "a.yaml")
        assert (theirs.returncode == 0) == (ours.returncode == 0), (SEED, path, theirs.stderr)
        assert theirs.stdout == ours.stdout, (SEED, path, tree)
