"""`aviary secrets edit` with editors that are programs: what is saved, and that nothing stays."""

import json
import os
import pty
import resource
import select
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.lib.fleet import AVIARY, wait_for
from tests.lib.sopsfiles import SHARED, Person

PLAIN = "# all of it\nuser: admin\npassword: correct-horse\nlist:\n    - one-value\n    - two-value\n"
MEMORY = Path("/dev/shm")
UNCHANGED = 200


class Editor:
    """A program for EDITOR: Python, with the file's path in `path` and a counter of its runs."""

    def __init__(self, person, code):
        self.person = person
        self.log = person.folder / "editor-log"
        script = person.write("editor.py", (
            "import os, pathlib, signal, stat, sys, time\n"
            "path = pathlib.Path(sys.argv[-1])\n"
            f"log = pathlib.Path({str(self.log)!r})\n"
            "runs = 1 + (log.read_text().count('run ') if log.exists() else 0)\n"
            "with log.open('a') as out: out.write(f'run {path}\\n')\n" + code))
        person.env["EDITOR"] = f"{sys.executable} '{script}'"

    def paths(self):
        return [line[4:] for line in self.log.read_text().splitlines() if line.startswith("run ")]


REPLACE = "path.write_text(path.read_text().replace({!r}, {!r}))\n"


@pytest.fixture(name="eva")
def make_eva(tmp_path):
    eva = Person(tmp_path / "eva")
    eva.env["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    recipient = eva.make_key()
    eva.write(".sops.yaml", f"creation_rules:\n  - age: {recipient}\n")
    eva.write("a.yaml", PLAIN)
    eva.good("encrypt", "-i", "a.yaml")
    yield eva
    log = eva.path("editor-log")
    lines = log.read_text().splitlines() if log.exists() else []
    folders = [Path(line[4:]).parent for line in lines if line.startswith(f"run {MEMORY}/")]
    assert not [folder for folder in folders if folder.exists()]
    assert not list((tmp_path / "tmp").iterdir())
    holds = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".py"
             and b"correct-horse" in path.read_bytes() and path.name != "wanted"]
    assert not holds


def edit(eva, *arguments, **more):
    return eva.run("edit", *arguments, "a.yaml", **more)


def test_what_is_not_changed_keeps_its_encrypted_text(eva):
    before = eva.read("a.yaml").splitlines()
    Editor(eva, REPLACE.format("correct-horse", "battery-staple"))
    done = edit(eva)
    assert done.returncode == 0 and done.stdout == b"", done.stderr
    after = eva.read("a.yaml").splitlines()
    differ = [new for old, new in zip(before, after) if old != new]
    names = [line.strip().split(b":")[0] for line in differ]
    assert [name for name in names if name != b"lastmodified"] == [b"password", b"mac"]
    assert eva.good("decrypt", "a.yaml").decode() == PLAIN.replace("correct-horse", "battery-staple")


def test_items_and_comments_can_be_added_and_removed(eva):
    before = set(eva.read("a.yaml").splitlines())
    Editor(eva, "path.write_text('# all of it\\nuser: admin\\n# new\\nmore: {a: 1}\\n"
                "list:\\n    - two-value\\n')\n")
    assert edit(eva).returncode == 0
    assert eva.good("decrypt", "a.yaml") == \
        b"# all of it\nuser: admin\n# new\nmore:\n    a: 1\nlist:\n    - two-value\n"
    kept = [line for line in eva.read("a.yaml").splitlines() if line in before and b"ENC[" in line]
    assert len(kept) == 3  # the comment, user, the second item


def test_an_editor_that_changes_nothing_leaves_the_file_alone(eva):
    before = eva.read("a.yaml")
    Editor(eva, "path.write_text(path.read_text())\n")
    assert edit(eva).returncode == UNCHANGED
    Editor(eva, REPLACE.format("user: admin", "user:   'admin'"))  # the same values
    assert edit(eva).returncode == UNCHANGED
    assert eva.read("a.yaml") == before


def test_a_text_that_does_not_parse_can_be_edited_again(eva):
    editor = Editor(eva, "text = path.read_text()\n"
                    "path.write_text('password: planted-garbage: [' if runs == 1 else\n"
                    "    'fixed: ' + ('yes' if 'planted-garbage' in text else 'no') + '\\n')\n")
    done = edit(eva)
    assert done.returncode == 0, done.stderr
    assert b"a.yaml:1" in done.stderr and b"planted-garbage" not in done.stderr
    assert len(editor.paths()) == 2  # and the second run saw what the first left
    assert eva.good("decrypt", "a.yaml") == b"fixed: \"yes\"\n"


@pytest.mark.parametrize("text", ["a: [planted-garbage", "- planted-garbage", "planted-garbage", "",
                                  "a: 1\nsops: {planted: garbage}\n", "a: 1\na: planted-garbage\n"])
def test_a_program_that_leaves_garbage_for_ever_ends(eva, text):
    before = eva.read("a.yaml")
    editor = Editor(eva, f"path.write_text({text!r})\n")
    done = edit(eva)
    assert done.returncode == 1 and b"stays as it was" in done.stderr
    assert b"planted-garbage" not in done.stderr and len(editor.paths()) == 2
    assert eva.read("a.yaml") == before


def test_an_editor_that_fails_saves_nothing(eva):
    before = eva.read("a.yaml")
    Editor(eva, REPLACE.format("admin", "root") + "sys.exit(3)\n")
    done = edit(eva)
    assert done.returncode == 1 and b"status 3" in done.stderr and eva.read("a.yaml") == before
    for command in "/nonexistent/editor", "'", " ":
        done = edit(eva, env={"EDITOR": command})
        assert done.returncode == 1 and b"editor" in done.stderr.lower(), command
    assert eva.read("a.yaml") == before


def test_the_text_lies_in_memory_for_its_owner_alone(eva):
    editor = Editor(eva, "import json\n"
                    "me, up = path.stat(), path.parent.stat()\n"
                    "lines = pathlib.Path(f'/proc/{os.getppid()}/limits').read_text().splitlines()\n"
                    "core = next(l for l in lines if l.startswith('Max core'))\n"
                    "owner = os.stat(f'/proc/{os.getppid()}/environ').st_uid\n"
                    "argv = pathlib.Path(f'/proc/{os.getppid()}/cmdline').read_bytes().decode()\n"
                    "argv += ''.join(os.environ.values()) + ' '.join(sys.argv)\n"
                    "log.write_text(log.read_text() + json.dumps([stat.S_IMODE(me.st_mode),\n"
                    "    stat.S_IMODE(up.st_mode), core.split()[4:6], owner, argv]))\n")
    assert edit(eva).returncode == UNCHANGED
    path = Path(editor.paths()[0])
    assert path.name == "a.yaml"  # editors go by its end
    assert MEMORY in path.parents and not path.exists()
    mode, folder_mode, core, owner, argv = json.loads(editor.log.read_text().splitlines()[-1])
    assert (mode, folder_mode, core) == (0o600, 0o700, ["0", "0"])
    assert owner == 0  # not dumpable: nobody but root looks into the process
    assert "correct-horse" not in argv and "AGE-SECRET-KEY" not in argv


def test_what_the_editor_leaves_beside_it_is_removed(eva):
    Editor(eva, "for name in '.a.yaml.swp', 'a.yaml~', '#a.yaml#':\n"
           "    (path.parent / name).write_text(path.read_text())\n"
           "(path.parent / 'folder').mkdir()\n"
           "new = path.parent / 'new'\n"
           "new.write_text(path.read_text().replace('admin', 'root'))\n"
           "new.rename(path)\n")  # as many editors save
    assert edit(eva).returncode == 0
    assert b"user: root" in eva.good("decrypt", "a.yaml")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("code", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                                  "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"],
                         ids=["listens", "deaf"])
def test_being_told_to_end_removes_the_text(eva, number, code):
    before = eva.read("a.yaml")
    editor = Editor(eva, code + "log.write_text(log.read_text() + 'ready\\n')\nsignal.pause()\n")
    with subprocess.Popen([AVIARY, "secrets", "edit", "a.yaml"], env=eva.env, cwd=eva.folder,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_for("the editor", lambda: editor.log.exists() and "ready" in editor.log.read_text())
        path = Path(editor.paths()[0])
        assert path.exists()
        process.send_signal(number)
        process.wait(30)
    assert process.returncode != 0 and not path.exists()
    assert eva.read("a.yaml") == before


def test_the_terminals_interrupt_is_for_the_editor(eva):
    editor = Editor(eva, "os.kill(os.getppid(), signal.SIGINT)\n" + REPLACE.format("admin", "root"))
    assert edit(eva).returncode == 0
    assert b"user: root" in eva.good("decrypt", "a.yaml")
    assert not Path(editor.paths()[0]).exists()


def test_the_editors_arguments_are_split_without_a_shell(eva):
    eva.write("two words.py", "import sys\nopen(sys.argv[2], 'w').write(sys.argv[1])\n")
    eva.env["EDITOR"] = f"{sys.executable} 'two words.py' \"a: \\\"$HOME\\\"; b\""
    assert edit(eva).returncode == 1  # not YAML, and no variable was put in
    eva.env["EDITOR"] = f"{sys.executable} two\\ words.py 'dollar: $HOME;*'"
    assert edit(eva).returncode == 0
    assert eva.good("decrypt", "a.yaml") == b"dollar: $HOME;*\n"


def test_a_file_that_is_new_is_made_by_the_rules(eva):
    Editor(eva, "assert path.read_text() == ''\npath.write_text('fresh: value-of-it\\n')\n")
    done = eva.run("edit", "new.yaml")
    assert done.returncode == 0, done.stderr
    assert b"value-of-it" not in eva.read("new.yaml")
    assert eva.good("decrypt", "new.yaml") == b"fresh: value-of-it\n"
    Editor(eva, "pass\n")
    assert eva.run("edit", "other.yaml").returncode == UNCHANGED
    assert not eva.path("other.yaml").exists()


@pytest.mark.parametrize("name, old, new", [
    ("a.json", '{\n\t"a": "correct-horse"\n}\n', '{\n\t"a": "new"\n}\n'),
    ("a.env", "# c\nA=correct-horse\n", "# c\nA=new\n"),
    ("a.ini", "[s]\na = correct-horse\n", "[s]\na = new\n"),
    ("a.txt", "correct-horse\n", "new\n")])
def test_all_formats_can_be_edited(eva, name, old, new):
    eva.write(name, old)
    eva.good("encrypt", "-i", name)
    editor = Editor(eva, REPLACE.format("correct-horse", "new"))
    assert eva.run("edit", name).returncode == 0
    assert eva.good("decrypt", name).decode() == new
    assert Path(editor.paths()[0]).suffix == Path(name).suffix


def test_no_key_no_editor(eva, tmp_path):
    nobody = Person(tmp_path / "nobody")
    editor = Editor(nobody, "pass\n")
    assert nobody.run("edit", eva.path("a.yaml")).returncode == 128
    assert not editor.log.exists()


def test_no_room_for_the_text_is_told_and_keeps_the_file(eva):
    before = eva.read("a.yaml")
    Editor(eva, "pass\n")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))  # noqa: E731
    done = edit(eva, preexec_fn=limit)
    assert done.returncode == 1 and b"too large" in done.stderr and eva.read("a.yaml") == before


# ---- a terminal --------------------------------------------------------------------------------

class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, person, *arguments):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(person.folder)
            os.execve(AVIARY, [AVIARY, "secrets", *map(str, arguments)], person.env)
        self.text = b""

    def until(self, what):
        def more():
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.fd, 4096)
                except OSError:
                    return True  # it has ended
            return what in self.text
        wait_for(what.decode(), more)
        assert what in self.text, self.text

    def say(self, text):
        os.write(self.fd, text)

    def end(self):
        while True:
            try:
                if not (got := os.read(self.fd, 4096)):
                    break
            except OSError:
                break
            self.text += got
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("answer, status", [(b"\n", 0), (b"n\n", 1), (b"\x03", 1)])
def test_a_person_decides_whether_to_edit_again(eva, answer, status):
    Editor(eva, "path.write_text('a: [' if runs == 1 else 'a: 1\\n')\n")
    terminal = Terminal(eva, "edit", "a.yaml")
    terminal.until(b"give up.")
    terminal.say(answer)
    code = terminal.end()
    assert code == status or (answer == b"\x03" and code == -signal.SIGINT)
    assert (eva.good("decrypt", "a.yaml") == b"a: 1\n") == (status == 0)


def test_a_key_file_with_a_passphrase_is_asked_for_at_the_terminal(eva, tmp_path):
    sealed = SHARED / "data-keys/identity-scrypt.age"
    if not sealed.exists():
        pytest.skip("fixtures/sops/upstream is not there, see AVIARY_SHARED")
    passphrase = (SHARED / "data-keys/identity-scrypt.passphrase").read_bytes().strip()
    person = Person(tmp_path / "person")
    path = person.write("key.age", sealed.read_bytes(), 0o600)
    person.env["SOPS_AGE_KEY_FILE"] = str(path)
    terminal = Terminal(person, "recipients")
    terminal.until(b"Passphrase of")
    terminal.say(passphrase + b"\n")
    assert terminal.end() == 0
    assert b"age1" in terminal.text and passphrase not in terminal.text
    done = person.run("recipients", start_new_session=True)  # nobody to ask
    assert done.returncode == 1 and b"passphrase" in done.stderr


def test_without_a_file_system_in_memory_a_memory_file_is_used(eva):
    """Only root can take /dev/shm away, in a mount namespace of its own."""
    Editor(eva, "assert str(path).startswith('/proc/self/fd/'), path\n"
           + REPLACE.format("admin", "root"))
    with tempfile.TemporaryDirectory() as folder:
        script = f"mount --bind {folder} /dev/shm && exec {AVIARY} secrets edit a.yaml"
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script], check=False,
                              env=eva.env, cwd=eva.folder, stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
    if b"unshare" in done.stderr or b"mount" in done.stderr:
        pytest.skip("no mount namespace: " + done.stderr.decode().strip())
    if b"AssertionError" in done.stderr and b"/tmp" in done.stderr:
        pytest.skip("the temporary folder is a file system in memory")
    assert done.returncode == 0, done.stderr
    assert b"user: root" in eva.good("decrypt", "a.yaml")


def test_modes_of_saved_files_stay(eva):
    eva.path("a.yaml").chmod(0o640)
    Editor(eva, REPLACE.format("admin", "root"))
    assert edit(eva).returncode == 0
    assert stat.S_IMODE(eva.path("a.yaml").stat().st_mode) == 0o640
    eva.path("link.yaml").symlink_to("a.yaml")
    Editor(eva, REPLACE.format("root", "admin"))
    assert eva.run("edit", "link.yaml").returncode == 0
    assert eva.path("link.yaml").is_symlink() and b"admin" in eva.good("decrypt", "a.yaml")
