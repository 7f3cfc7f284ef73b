"""Where output goes, and what is said and returned when it cannot be written."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.tea.cli import tea_process
from tests.tea.cli.tea_process import tea_in_shell
from tests.tea.llm.gguf_files import Tensor, gguf

TEXT = "nodes:\n  - {name: a, uses: template, with: {template: x}, output: t}\n"
STATE = '{\n  "t": "x"\n}\n'
COMMANDS = [
    *("run w.yaml", "run w.yaml --stream", "validate --json w.yaml", "--version", "--impl"),
    *("--help", "run --help", "model --gguf m.gguf", "model --gguf m.gguf --json"),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "w.yaml").write_text(TEXT)
    weights = Tensor("token_embd.weight", (32,), 0, bytes(128))
    model = gguf({"general.architecture": "llama", "llama.context_length": 64}, [weights])
    (tmp_path / "m.gguf").write_bytes(model)
    return tmp_path


@pytest.mark.parametrize(
    ("where", "why"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_unwritable_result_is_exit_code_74_and_one_line(
    home: Path, command: str, where: str, why: str
) -> None:
    done = tea_in_shell(home, f"tea {command} {where}")
    line = f"tea: standard output cannot be written: {why}\n"
    assert (done.returncode, done.stderr.decode()) == (74, line)


def test_a_disk_that_fills_in_the_middle_is_exit_code_74(home: Path) -> None:
    # A limit of 512 bytes stands for the disk.
    nodes = [f"  - {{name: n{n}, uses: template, with: {{template: x}}}}\n" for n in range(20)]
    (home / "w.yaml").write_text("nodes:\n" + "".join(nodes))
    script = "(ulimit -f 1; tea run w.yaml --stream >out 2>err; echo $? >&2) | cat"
    done = tea_in_shell(home, f"{{ {script}; }} 2>&1")
    assert done.stdout == b"74\n"
    assert (home / "err").read_text() == "tea: standard output cannot be written: File too large\n"


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_unsayable_words_are_exit_code_74_unless_another_is(home: Path, where: str) -> None:
    assert tea_in_shell(home, f"tea validate w.yaml {where}").returncode == 74
    assert tea_in_shell(home, f"tea validate none.yaml {where}").returncode == 2
    done = tea_in_shell(home, f"tea run w.yaml {where}")
    assert (done.returncode, done.stdout.decode()) == (0, STATE)


def test_output_to_a_fifo_goes_through_it(home: Path) -> None:
    os.mkfifo(home / "fifo")
    (home / "link").symlink_to("fifo")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((home / "fifo").read_text()))
    reader.start()
    done = tea_in_shell(home, "tea run w.yaml -o link")
    if not (home / "fifo").is_fifo():
        (home / "fifo").unlink()  # lets the reader go
        pytest.fail("the FIFO was replaced")
    reader.join(20)
    assert (done.returncode, read) == (0, [STATE])
    assert (home / "link").is_symlink()


def test_output_to_a_device_goes_into_it(home: Path) -> None:
    (home / "out").symlink_to("/proc/self/fd/1")
    done = tea_in_shell(home, "tea run w.yaml -o out | cat")
    assert (done.returncode, done.stdout.decode()) == (0, STATE)
    (home / "full").symlink_to("/dev/full")
    done = tea_in_shell(home, "tea run w.yaml -o full")
    assert done.returncode == 74
    assert done.stderr == b"tea: full cannot be written: No space left on device\n"
    assert Path("/dev/full").is_char_device()


def test_output_to_a_link_is_written_to_its_target(home: Path) -> None:
    (home / "folder").mkdir()
    target = home / "folder" / "target"
    target.write_text("old")
    target.chmod(0o640)
    (home / "link").symlink_to("folder/target")
    (home / "new").symlink_to("folder/made")
    done = tea_in_shell(home, "tea run w.yaml -o link && tea run w.yaml -o new")
    assert done.returncode == 0
    assert (target.read_text(), target.stat().st_mode & 0o777) == (STATE, 0o640)
    assert (home / "folder" / "made").read_text() == STATE
    assert (home / "link").is_symlink()
    assert (home / "new").is_symlink()
    assert len(list((home / "folder").iterdir())) == 2


def as_user(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run tea as a user who is not root: root takes another number, and keeps its files."""
    other = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*other, *tea_process.command(*arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=tea_process.environment(home),
        cwd=home,
        timeout=tea_process.DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("action", ["-o", "file.write"])
def test_a_file_that_others_have_a_part_in_is_refused(home: Path, action: str) -> None:
    kept = {"linked": "hard links", "read-only": "Permission denied"}
    for file in kept:
        (home / file).write_text("old")
    (home / "other name").hardlink_to(home / "linked")
    (home / "read-only").chmod(0o444)
    if os.geteuid() == 0:  # only root can make one of another user
        (home / "another's").write_text("old")
        os.chown(home / "another's", 12345, 12345)
        kept["another's"] = "another user"
    for file, why in kept.items():
        write = f'  - {{name: b, uses: file.write, with: {{path: "{file}", content: x}}}}\n'
        (home / "w.yaml").write_text(TEXT if action == "-o" else TEXT + write)
        done = as_user(home, "run", "w.yaml", *(["-o", file] if action == "-o" else []))
        assert done.returncode == (2 if action == "-o" else 1)
        assert why in done.stderr.decode()
        assert (home / file).read_text() == "old"


def test_the_longest_names_can_be_written(home: Path) -> None:
    name = "字" * 84 + ".md"  # 255 bytes
    write = f"  - {{name: b, uses: file.write, with: {{path: {name}, content: x}}}}\n"
    (home / "w.yaml").write_text(TEXT + write)
    done = tea_in_shell(home, f"tea run w.yaml -o {'語' * 84}.md")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (home / name).read_text() == "x"


@pytest.mark.parametrize("limit", ["-n 8", "-n 12"])
def test_few_open_files_are_enough(home: Path, limit: str) -> None:
    done = tea_in_shell(home, f"ulimit {limit}; tea run w.yaml")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, STATE, b"")


def test_deleted_working_folder_breaks_nothing(home: Path) -> None:
    (home / "gone").mkdir()
    write = "  - {name: b, uses: file.write, with: {path: a.txt, content: x}}\n"
    (home / "writes.yaml").write_text(TEXT + write)
    enter = "cd gone; rmdir ../gone"
    done = tea_in_shell(home, f'{enter}; tea run "{home}/w.yaml"')
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, STATE, b"")
    (home / "gone").mkdir()
    done = tea_in_shell(home, f'{enter}; tea run "{home}/writes.yaml"')
    assert done.returncode == 1
    assert b"node b: cannot find a.txt: No such file or directory" in done.stderr


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_regular_file_is_not_read(home: Path, kind: str) -> None:
    os.mkfifo(home / "fifo")
    path = "fifo" if kind == "fifo" else "/dev/zero"
    read = f"nodes:\n  - {{name: a, uses: file.read, with: {{path: {path}}}}}\n"
    (home / "w.yaml").write_text(read)
    done = tea_in_shell(home, "tea run w.yaml --allow-path /dev")
    assert done.returncode == 1
    assert b"it is not a regular file" in done.stderr


def test_a_model_may_have_a_name_that_is_no_utf8(home: Path) -> None:
    folder = os.fsencode(home) + b"/m\xff\xfe"
    os.mkdir(folder)  # noqa: PTH102
    os.rename(home / "m.gguf", folder + b"/\xe9.gguf")  # noqa: PTH104
    done = tea_in_shell(home, 'tea model --gguf "$(echo m*)"')
    assert (done.returncode, done.stderr) == (0, b"")
    assert "m\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}" in done.stdout.decode()
    done = tea_in_shell(home, 'TEA_MODEL_PATH="$(echo m*)/$(cd m*; echo *)" tea model')
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_after_two_dashes_is_an_option(home: Path) -> None:
    done = tea_in_shell(home, 'tea chat -- "x" --max-tokens 4')
    assert done.returncode == 2
    assert b"--max-tokens" in done.stderr
    assert b"nothing after -- is an option" in done.stderr
