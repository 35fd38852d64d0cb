"""`aviary secrets`: every subcommand, its exit status, and that no message holds a value."""

import json
import re
import shutil
import stat
import subprocess

import pytest
import yaml

from tests.lib.sopsfiles import FIXTURES, SHARED, STATUS, Person, cases

PLAIN = {
    "yaml": b"# all of it\nuser: admin\nnested:\n    password: correct-horse\n    list:\n"
            b"        - one-value\n        - 2\n        - true\n",
    "json": b'{\n\t"user": "admin",\n\t"nested": {\n\t\t"password": "correct-horse"\n\t}\n}\n',
    "env": b"USER=admin\n# a comment\nPASSWORD=correct-horse\n",
    "ini": b"[server]\nuser     = admin\npassword = correct-horse\n",
    "bin": b"correct-horse\0\xff\n",
}


@pytest.fixture(name="eva")
def make_eva(tmp_path):
    """With a key and a `.sops.yaml` for it."""
    eva = Person(tmp_path / "eva")
    eva.recipient = eva.make_key()
    eva.write(".sops.yaml", f"creation_rules:\n  - age: {eva.recipient}\n")
    return eva


def encrypted(eva, name="a.yaml", plain=PLAIN["yaml"]):
    eva.write(name, plain)
    eva.good("encrypt", "-i", name)
    return eva.read(name)


def lines_that_differ(old, new):
    """Outside of the metadata."""
    old, new = old.split(b"\nsops:")[0].splitlines(), new.split(b"\nsops:")[0].splitlines()
    return [line for line in new if line not in old]


# ---- fixtures ----------------------------------------------------------------------------------

def texts_of(value):
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)
    elif isinstance(value, str) and len(value) >= 6:
        yield value


def planted():
    """All values of all fixtures, and what stands plain in those that fail."""
    found = set()
    for path in FIXTURES.glob("*.values.json"):
        found |= set(texts_of(json.loads(path.read_text())))
    for case in cases(FIXTURES):
        if case["expect"] != "ok" and case["format"] == "yaml":
            text = (FIXTURES / case["file"]).read_text().split("\nsops:")[0]
            found |= {line.split(": ")[-1].strip() for line in text.splitlines()
                      if "ENC[" not in line and ": " in line}
    # "changed" is a word of any sentence
    return {text for text in found if len(text) >= 6 and not re.fullmatch("[a-z]{,8}", text)}


@pytest.mark.parametrize("case", [c for c in cases(FIXTURES) if c["expect"] == "ok"],
                         ids=lambda case: case["name"])
def test_decrypt_prints_what_sops_prints(case, tmp_path):
    person = Person(tmp_path / "home").take_keys(FIXTURES, case["keys"])
    done = person.run("decrypt", "--input-type", case["format"], FIXTURES / case["file"])
    assert done.returncode == 0, done.stderr
    assert done.stdout == (FIXTURES / case["plain"]).read_bytes()
    assert done.stderr == b""


@pytest.mark.parametrize("case", [c for c in cases(FIXTURES) if c["expect"] != "ok"],
                         ids=lambda case: case["name"])
def test_decrypt_fails_with_the_status_of_sops_and_without_a_value(case, tmp_path):
    person = Person(tmp_path / "home").take_keys(FIXTURES, case["keys"])
    done = person.run("decrypt", "--input-type", case["format"], FIXTURES / case["file"])
    assert done.returncode == STATUS[case["expect"]], done.stderr
    assert done.stdout == b"" and done.stderr.startswith(b"aviary: ")
    message = done.stderr.decode().replace(str(FIXTURES), "")
    assert not [text for text in planted() if text in message]


def test_decrypt_prints_the_files_of_public_test_suites(tmp_path):
    if not cases(SHARED):
        pytest.skip("fixtures/sops/upstream is not there, see AVIARY_SHARED")
    for number, case in enumerate(cases(SHARED)):
        person = Person(tmp_path / str(number)).take_keys(SHARED, case["keys"])
        done = person.run("decrypt", "--input-type", case["format"], SHARED / case["file"])
        assert done.returncode == STATUS[case["expect"]], (case["name"], done.stderr)
        if case["expect"] == "ok":
            assert done.stdout == (SHARED / case["plain"]).read_bytes(), case["name"]


# ---- encrypt, decrypt --------------------------------------------------------------------------

@pytest.mark.parametrize("kind", PLAIN)
def test_encrypt_and_decrypt_give_back_the_text(eva, kind):
    path = eva.write(f"a.{kind}", PLAIN[kind], 0o640)
    text = eva.good("encrypt", f"a.{kind}")
    assert b"correct-horse" not in text and b"ENC[AES256_GCM," in text
    assert eva.read(f"a.{kind}") == PLAIN[kind]  # it was only printed
    eva.good("encrypt", "--in-place", f"a.{kind}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert eva.good("decrypt", f"a.{kind}") == PLAIN[kind]
    eva.good("decrypt", f"a.{kind}", "--output", "plain")
    assert eva.read("plain") == PLAIN[kind]
    assert stat.S_IMODE(eva.path("plain").stat().st_mode) == 0o600
    done = eva.run("encrypt", f"a.{kind}")
    assert done.returncode == (203 if kind != "bin" else 0), done.stderr


def test_standard_input_takes_the_place_of_a_file(eva):
    text = eva.good("encrypt", "--filename-override", "x.yaml", "-", text=PLAIN["yaml"])
    assert eva.good("decrypt", "--input-type", "yaml", "-", text=text) == PLAIN["yaml"]
    assert eva.good("decrypt", "--filename-override", "x.yaml", "/dev/stdin", text=text) \
        == PLAIN["yaml"]


def test_values_and_other_formats_are_printed_on_demand(eva):
    encrypted(eva)
    assert eva.good("decrypt", "--extract", '["nested"]["password"]', "a.yaml") == b"correct-horse"
    assert eva.good("decrypt", "--extract", '["nested"]["list"][1]', "a.yaml") == b"2\n"
    answer = json.loads(eva.good("decrypt", "--output-type", "json", "a.yaml"))
    assert answer["nested"]["list"] == ["one-value", 2, True]
    done = eva.run("decrypt", "--extract", '["nested"]["nothing"]', "a.yaml")
    assert done.returncode == 1 and b"nothing" in done.stderr


def test_recipients_come_from_options_environment_and_rules(eva, tmp_path):
    ada = Person(tmp_path / "ada")
    ada_key = ada.make_key()
    eva.write("a.yaml", PLAIN["yaml"])
    eva.write("b.yaml", eva.good("encrypt", "--age", f"{ada_key},{eva.recipient}", "a.yaml"))
    assert eva.good("recipients", "b.yaml").decode().split() == [ada_key, eva.recipient]
    eva.write("b.yaml", eva.good("encrypt", "a.yaml", env={"SOPS_AGE_RECIPIENTS": ada_key}))
    assert eva.run("decrypt", "b.yaml").returncode == 128
    assert ada.good("decrypt", eva.path("b.yaml")) == PLAIN["yaml"]
    eva.write(".sops.yaml", f"creation_rules: [{{path_regex: ^sub/, age: {ada_key}}}]\n")
    eva.write("sub/a.yaml", PLAIN["yaml"])
    eva.good("encrypt", "-i", "sub/a.yaml")
    assert eva.good("recipients", "sub/a.yaml").decode().split() == [ada_key]
    done = eva.run("encrypt", "a.yaml")
    assert done.returncode == 1 and b"rule" in done.stderr
    eva.write("other.yaml", f"creation_rules: [{{age: {eva.recipient}, encrypted_regex: ^pass}}]\n")
    text = eva.good("encrypt", "--config", "other.yaml", "a.yaml")
    assert b"user: admin" in text and b"correct-horse" not in text
    assert text == text.replace(b"correct-horse", b"")


def test_one_rule_says_what_is_encrypted(eva):
    eva.write("a.yaml", PLAIN["yaml"])
    text = eva.good("encrypt", "--encrypted-regex", "^list$", "a.yaml")
    assert b"correct-horse" in text and b"one-value" not in text
    done = eva.run("encrypt", "--encrypted-regex", "x", "--unencrypted-suffix", "y", "a.yaml")
    assert done.returncode == 1 and b"only one rule" in done.stderr
    done = eva.run("encrypt", "--encrypted-regex", "[", "a.yaml")
    assert done.returncode == 1 and b"correct-horse" not in done.stdout  # sops writes it plain


def test_without_recipients_nothing_is_written(eva):
    eva.path(".sops.yaml").unlink()
    eva.write("a.yaml", PLAIN["yaml"])
    done = eva.run("encrypt", "-i", "a.yaml")
    assert done.returncode == 1 and b"--age" in done.stderr
    assert eva.read("a.yaml") == PLAIN["yaml"]
    for recipient in "age1nonsense", "age1yubikey1qwerty", "ecdsa-sha2-nistp256 AAAA":
        assert eva.run("encrypt", "-i", "--age", recipient, "a.yaml").returncode == 1
    assert eva.read("a.yaml") == PLAIN["yaml"]


# ---- set, unset --------------------------------------------------------------------------------

def test_set_changes_one_value_and_keeps_the_others_encrypted_text(eva):
    before = encrypted(eva)
    assert eva.good("set", "a.yaml", '["nested"]["password"]', '"battery-staple"') == b""
    after = eva.read("a.yaml")
    assert len(lines_that_differ(before, after)) == 1
    plain = yaml.safe_load(eva.good("decrypt", "a.yaml"))
    assert plain["nested"]["password"] == "battery-staple" and plain["user"] == "admin"
    eva.good("set", "a.yaml", '["nested"]["list"][9]', '{"new": [1, null]}')
    assert yaml.safe_load(eva.good("decrypt", "a.yaml"))["nested"]["list"][3] == {"new": [1, None]}
    eva.good("unset", "a.yaml", '["nested"]["list"]')
    assert yaml.safe_load(eva.good("decrypt", "a.yaml"))["nested"] == {"password": "battery-staple"}


def test_set_reads_the_value_from_elsewhere(eva):
    encrypted(eva)
    eva.good("set", "--value-stdin", "a.yaml", '["user"]', text=b'"from-stdin"')
    assert eva.good("decrypt", "--extract", '["user"]', "a.yaml") == b"from-stdin"
    eva.write("value", b'"from-file"')
    eva.good("set", "--value-file", "a.yaml", '["user"]', "value")
    assert eva.good("decrypt", "--extract", '["user"]', "a.yaml") == b"from-file"


def test_set_to_the_same_value_changes_no_byte(eva):
    before = encrypted(eva)
    eva.good("set", "a.yaml", '["user"]', '"admin"')
    assert eva.read("a.yaml") == before


@pytest.mark.parametrize("arguments", [
    ("set", "a.yaml", "user", '"x"'), ("set", "a.yaml", '["user"]', "planted-value"),
    ("unset", "a.yaml", '["nothing"]'),
    ("set", "a.yaml", '["sops"]', '"planted-value"'), ("unset", "a.yaml", '["nested"]["list"][7]'),
    ("set", "nothing.yaml", '["user"]', '"x"')])
def test_set_and_unset_leave_the_file_alone_when_they_fail(eva, arguments):
    before = encrypted(eva)
    done = eva.run(*arguments)
    assert done.returncode == 1 and done.stdout == b""
    assert b"planted-value" not in done.stderr
    assert eva.read("a.yaml") == before


def test_unset_of_nothing_is_fine_if_asked_for(eva):
    encrypted(eva)
    eva.good("unset", "--idempotent", "a.yaml", '["nothing"]')


# ---- rotate, updatekeys ------------------------------------------------------------------------

def test_rotate_changes_every_text_and_the_recipients(eva, tmp_path):
    ada = Person(tmp_path / "ada")
    ada_key = ada.make_key()
    before = encrypted(eva)
    eva.good("rotate", "-i", "--add-age", ada_key, "a.yaml")
    assert ada.good("decrypt", eva.path("a.yaml")) == PLAIN["yaml"]
    assert not set(before.split(b"\n")) & {line for line in eva.read("a.yaml").split(b"\n")
                                            if b"ENC[" in line}
    eva.good("rotate", "-i", "--rm-age", eva.recipient, "a.yaml")
    assert eva.run("decrypt", "a.yaml").returncode == 128
    assert ada.run("rotate", "-i", "--rm-age", ada_key, eva.path("a.yaml")).returncode == 1
    assert ada.good("decrypt", eva.path("a.yaml")) == PLAIN["yaml"]


def test_updatekeys_follows_the_rules_and_keeps_the_values(eva, tmp_path):
    ada = Person(tmp_path / "ada")
    ada_key = ada.make_key()
    before = encrypted(eva)
    done = eva.run("updatekeys", "a.yaml")
    assert done.returncode == 0 and b"up to date" in done.stderr and eva.read("a.yaml") == before
    eva.write(".sops.yaml", f"creation_rules:\n  - age: '{eva.recipient},{ada_key}'\n")
    encrypted(eva, "b.yaml")
    done = eva.run("updatekeys", "-y", "a.yaml", "b.yaml")
    assert done.returncode == 0 and f"+ {ada_key}".encode() in done.stderr
    assert lines_that_differ(before, eva.read("a.yaml")) == []
    assert ada.good("decrypt", eva.path("a.yaml")) == PLAIN["yaml"]
    assert ada.run("updatekeys", "-y", eva.path("a.yaml")).returncode == 1  # no .sops.yaml there


# ---- keygen, recipients ------------------------------------------------------------------------

def test_keygen_writes_a_key_file_once(tmp_path):
    person = Person(tmp_path / "home")
    recipient = person.make_key()
    path = person.path("key.txt")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert f"# public key: {recipient}\nAGE-SECRET-KEY-1" in text
    done = person.run("keygen", "-o", "key.txt")
    assert done.returncode == 1 and path.read_text() == text
    assert person.good("keygen", "-y", "key.txt").decode().strip() == recipient
    assert person.good("recipients").decode().strip() == recipient
    assert b"AGE-SECRET-KEY-1" in person.good("keygen")
    assert person.run("keygen", "-o", "nowhere/key.txt").returncode == 1


def test_keys_of_age_keygen_are_the_same_kind(tmp_path):
    if not shutil.which("age"):
        pytest.skip("age is not installed")
    person = Person(tmp_path / "home")
    recipient = person.make_key()
    sealed = subprocess.run(["age", "-r", recipient], input=b"hello", check=True,
                            stdout=subprocess.PIPE).stdout
    opened = subprocess.run(["age", "-d", "-i", person.path("key.txt")], input=sealed, check=True,
                            stdout=subprocess.PIPE).stdout
    assert opened == b"hello"


def test_recipients_of_files_need_no_key(eva, tmp_path):
    encrypted(eva)
    nobody = Person(tmp_path / "nobody")
    assert nobody.good("recipients", eva.path("a.yaml")).decode().strip() == eva.recipient
    answer = json.loads(nobody.good("recipients", "--json", eva.path("a.yaml")))
    assert answer == [{"file": str(eva.path("a.yaml")), "recipients": [eva.recipient]}]
    assert nobody.run("recipients").returncode == 128
    assert nobody.run("recipients", eva.path(".sops.yaml")).returncode == 1


def test_keys_are_found_in_all_places(eva, tmp_path):
    encrypted(eva)
    key = eva.read("key.txt")
    line = key.decode().splitlines()[-1]
    for place in "flag", "SOPS_AGE_KEY", "default", "xdg":
        person = Person(tmp_path / place)
        path = person.write(".config/sops/age/keys.txt" if place == "default" else
                            "xdg/sops/age/keys.txt", key, 0o600)
        env = {"xdg": {"XDG_CONFIG_HOME": str(person.path("xdg"))},
               "SOPS_AGE_KEY": {"SOPS_AGE_KEY": line}}.get(place, {})
        more = ["--age-key-file", path] if place == "flag" else []
        assert person.good("decrypt", *more, eva.path("a.yaml"), env=env) == PLAIN["yaml"], place
    nobody = Person(tmp_path / "nobody")
    done = nobody.run("decrypt", eva.path("a.yaml"))
    assert done.returncode == 128 and eva.recipient.encode() in done.stderr
    eva.path("key.txt").chmod(0o644)
    done = eva.run("decrypt", "a.yaml")
    assert done.stdout == PLAIN["yaml"] and b"chmod 600" in done.stderr


def test_a_command_prints_the_key(eva, tmp_path):
    encrypted(eva)
    nobody = Person(tmp_path / "nobody")
    key, ran = eva.path("key.txt"), tmp_path / "ran"
    for variable in "SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_CMD":
        command = f"sh -c 'echo x >>\"{ran}\"; echo to the person >&2; cat \"{key}\"'"
        done = nobody.run("decrypt", eva.path("a.yaml"), env={variable: command})
        assert done.returncode == 0 and done.stdout == PLAIN["yaml"], done.stderr
        assert done.stderr == b"to the person\n"
    assert ran.read_text() == "x\nx\n", "it runs once"
    for command, says in {"false": b"SOPS_AGE_KEY_CMD: 'false' ended with status 1",
                          "/nothing/here": b"SOPS_AGE_KEY_CMD: cannot run '/nothing/here'",
                          "cat 'x": b"SOPS_AGE_KEY_CMD: a quote in it does not end",
                          "echo secret-text": b"line 1 of 'SOPS_AGE_KEY_CMD' is no age identity",
                          "cat /dev/zero": b"SOPS_AGE_KEY_CMD: it prints more than the limit",
                          "true": eva.recipient.encode()}.items():
        done = nobody.run("decrypt", eva.path("a.yaml"), env={"SOPS_AGE_KEY_CMD": command})
        assert done.returncode == (128 if command == "true" else 1), (command, done.stderr)
        assert says in done.stderr and b"secret-text" not in done.stderr
        assert done.stdout == b""


# ---- usage -------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    (), ("nothing",), ("decrypt",), ("decrypt", "a", "b"), ("decrypt", "--nothing", "a"),
    ("decrypt", "--age", "x", "a"), ("set", "a"), ("set", "a", '["b"]'),
    ("set", "--value-stdin", "a", '["b"]', "1"), ("edit",), ("rotate", "--add-age"),
    ("keygen", "a"), ("check", "a", "b"), ("isolation", "--age-key-file", "x")])
def test_wrong_usage_is_2(tmp_path, arguments):
    done = Person(tmp_path / "home").run(*arguments)
    assert done.returncode == 2 and done.stderr and done.stdout == b""


@pytest.mark.parametrize("name", ["decrypt", "encrypt", "edit", "set", "unset", "rotate",
                                  "updatekeys", "keygen", "recipients", "check", "isolation"])
def test_help_tells_the_usage(tmp_path, name):
    done = Person(tmp_path / "home").run(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: aviary secrets {name} ".encode())


def test_what_cannot_be_read_is_1(eva):
    for name in "nothing.yaml", ".":
        done = eva.run("decrypt", name)
        assert done.returncode == 1 and name.encode() in done.stderr
    eva.write("plain.yaml", PLAIN["yaml"])
    done = eva.run("decrypt", "plain.yaml")
    assert done.returncode == 1 and b"not a SOPS file" in done.stderr
    assert b"correct-horse" not in done.stderr
    assert eva.run("decrypt", "--input-type", "toml", "plain.yaml").returncode == 1
