"""Python code in a workflow: what it prints, and how it is stopped."""

from __future__ import annotations

import signal
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

from tests.tea.cli.tea_process import DEADLINE, start, tea
from tests.tea.cli.test_stop import SIGNALS, ends


def workflow(folder: Path, code: str, after: str = "") -> None:
    body = textwrap.indent(textwrap.dedent(code), "      ")
    text = f"nodes:\n  - name: a\n    run: |\n{body}{after}"
    (folder / "w.yaml").write_text(text)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.01)


CODE = {
    "sleeps": "time.sleep(60)",
    "waits for a child": "subprocess.Popen(['sleep', '60']).wait()",
    "runs a child": "subprocess.run(['sh', '-c', 'sleep 60; true'])",
    "waits in a shell": "os.system('sleep 60')",
    "waits for a thread": "t = threading.Timer(60, print); t.start(); t.join()",
    "catches all": "while True:\n    try: time.sleep(60)\n    except BaseException: pass",
}


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("does", CODE)
def test_code_is_stopped_with_its_children(
    tmp_path: Path, does: str, number: signal.Signals, code: int
) -> None:
    begin = "import os, pathlib, subprocess, threading, time\npathlib.Path('begun').touch()\n"
    workflow(tmp_path, begin + CODE[does], "\n  - {name: b, uses: file.write, "
             "with: {path: after, content: x}}\n")  # fmt: skip
    process = start(tmp_path, "run", "w.yaml")
    wait_for(tmp_path / "begun")
    time.sleep(0.2)  # for the child
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=False)
    assert ends(process, number) == code
    for child in children.stdout.split():
        assert not Path(f"/proc/{child.decode()}").exists()
    assert not (tmp_path / "after").exists()


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    begin = "import pathlib, time\npathlib.Path('begun').touch()\n"
    again = """
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pathlib.Path('caught').touch()
    """
    workflow(tmp_path, begin + textwrap.dedent(again))
    process = start(tmp_path, "run", "w.yaml")
    wait_for(tmp_path / "begun")
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    wait_for(tmp_path / "caught")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == -signal.SIGTERM


def test_stdout_holds_the_result_alone(tmp_path: Path) -> None:
    code = """
    import os, subprocess, sys, threading, time
    print("printed")
    subprocess.run(["echo", "by a child"])
    os.system("echo by a shell")
    os.write(1, b"by the system\\n")
    sys.__stdout__.write("by the first stdout\\n")
    threading.Timer(0.2, lambda: print("late")).start()
    x = 1
    """
    workflow(tmp_path, code, "  - {name: b, run: 'import time; time.sleep(0.5)'}\n")
    done = tea(tmp_path, "run", "w.yaml")
    assert (done.returncode, done.stdout) == (0, b'{\n  "x": 1\n}\n')
    for said in ("printed", "by a child", "by a shell", "by the system", "first stdout", "late"):
        assert said in done.stderr.decode()
