"""AppRun in the shells that the machine has, before a stand-in for the loader that tells all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.base.paths import ROOT

APPRUN = ROOT / "appdir/AppRun"
LOADER = f"""#!{sys.executable} -ISE
import json, os, sys
root = os.environ["TEA_LIBRARY_PATH"].removesuffix("/usr/lib/llama")
print(json.dumps({{"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(),
                  "root": os.path.realpath(root)}}))
"""
# The system's own first; the others when they are installed.
SHELLS = [["/bin/sh"], *([name] for name in ("dash", "bash", "ksh", "mksh") if shutil.which(name))]
SHELLS += [["busybox", "sh"]] if shutil.which("busybox") else []


@dataclass(frozen=True)
class Start:
    """What the loader was started with."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    root: str  # the folder that its libraries are read from

    @property
    def library_path(self) -> str:
        return self.argv[self.argv.index("--library-path") + 1]

    @property
    def program(self) -> list[str]:
        """The program and its arguments."""
        return self.argv[self.argv.index("--library-path") + 2 :]


def make(appdir: Path) -> Path:
    """An AppDir of a program named tea; returns its AppRun."""
    (appdir / "usr/bin").mkdir(parents=True)
    (appdir / "usr/lib").mkdir()
    shutil.copy(APPRUN, appdir / "AppRun")
    loader = appdir / "usr/lib/ld-linux-test.so.2"
    loader.write_text(LOADER)
    loader.chmod(0o755)
    (appdir / "usr/bin/tea").touch(mode=0o755)
    return appdir / "AppRun"


def run(
    argv: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run(
        argv, cwd=cwd, env={**clean, **(env or {})}, capture_output=True, timeout=60, check=False
    )


def start(
    argv: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Start:
    done = run(argv, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return Start(**json.loads(done.stdout))


@pytest.fixture
def apprun(tmp_path: Path) -> Path:
    return make(tmp_path / "App Dir")


NAMES = [
    "plain",
    "a:b;c",
    "$ORIGIN",
    "$LIB",
    "two words",
    "new\nline",
    "newline at the end\n",
    "newlines at the end\n\n",
    "quotes ' \" `true` $(true) $HOME",
    "back\\slash\\n",
    "-n",
    "*",
    "ünï",
]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_program_starts_in_a_folder_called(name: str, shell: list[str], tmp_path: Path) -> None:
    appdir = tmp_path / name
    found = start([*shell, make(appdir)])
    assert found.env["APPDIR"] == str(appdir)
    root = found.env["TEA_LIBRARY_PATH"].removesuffix("/usr/lib/llama")
    assert found.library_path == f"{root}/usr/lib:{root}/usr/lib/llama"
    assert found.program == [f"{root}/usr/bin/tea"]
    assert found.root == str(appdir)
    assert not set(name) & set(":;$") or not set(root) & set(":;$")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_program_starts_through_a_chain_of_links_called(name: str, tmp_path: Path) -> None:
    apprun = make(tmp_path / name / "real")
    links = tmp_path / name / "links"
    links.mkdir()
    (links / "relative").symlink_to("../real/AppRun")
    (links / "absolute").symlink_to(links / "relative")
    (tmp_path / f"{name}.last").symlink_to(f"{name}/links/absolute")
    found = start([tmp_path / f"{name}.last"])
    assert found.env["APPDIR"] == str(apprun.parent)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_program_starts_from_its_own_folder_and_any_other(
    shell: list[str], apprun: Path, tmp_path: Path
) -> None:
    appdir = apprun.parent
    (appdir / "link").symlink_to("AppRun")
    (tmp_path / "link").symlink_to("App Dir/AppRun")
    for cwd, word in [
        (appdir, "AppRun"),
        (appdir, "./AppRun"),
        (appdir, "link"),
        (tmp_path, "link"),
        (tmp_path, "./link"),
        (tmp_path, "App Dir/AppRun"),
        (appdir / "usr", "../AppRun"),
    ]:
        found = start([*shell, word], cwd=cwd)
        assert found.env["APPDIR"] == str(appdir), (cwd, word)
        assert found.cwd == str(cwd)


@pytest.mark.parametrize("path", ["App Dir", ".", ""], ids=repr)
def test_program_starts_when_the_shell_finds_it_by_path(
    path: str, apprun: Path, tmp_path: Path
) -> None:
    cwd = tmp_path if path == "App Dir" else apprun.parent
    found = start(
        ["/bin/sh", "-c", "AppRun --version"], cwd=cwd, env={"PATH": f"{path}:/usr/bin:/bin"}
    )
    assert found.env["APPDIR"] == str(apprun.parent)
    assert found.program[1:] == ["--version"]


def test_folder_reached_by_a_link_is_named_by_its_real_path(apprun: Path, tmp_path: Path) -> None:
    (tmp_path / "app").symlink_to(apprun.parent)
    found = start([tmp_path / "app" / "AppRun"])
    assert found.env["APPDIR"] == str(apprun.parent)


def test_cdpath_and_an_appdir_from_outside_lead_nowhere(apprun: Path, tmp_path: Path) -> None:
    decoy = make(tmp_path / "decoy" / "App Dir").parent
    found = start(
        ["/bin/sh", "App Dir/AppRun"],
        cwd=tmp_path,
        env={"CDPATH": str(decoy.parent), "APPDIR": str(decoy)},
    )
    assert found.env["APPDIR"] == str(apprun.parent)


ARGUMENTS = ["", "two words", "new\nline\n", "--", "-x", "*", "'\"`$(", "ünï", "\\n", "\udcff"]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_arguments_arrive_as_they_were_given(shell: list[str], apprun: Path) -> None:
    assert start([*shell, apprun, *ARGUMENTS]).program[1:] == ARGUMENTS


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_only_the_host_s_libraries_are_not_handed_on(shell: list[str], apprun: Path) -> None:
    host = {"LD_PRELOAD": "", "LD_LIBRARY_PATH": "/opt/lib", "LD_AUDIT": ""}
    kept = {"TEA_MODEL_PATH": "/my/model.gguf", "OTHER": "a b\nc", "APPIMAGE": "/a.AppImage"}
    found = start([*shell, apprun], env={**host, **kept})
    assert not host.keys() & found.env.keys()
    assert {name: found.env[name] for name in kept} == kept


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_threads_spin_shortly_unless_told_otherwise(shell: list[str], apprun: Path) -> None:
    assert start([*shell, apprun]).env["GOMP_SPINCOUNT"] == "10000"
    told = start([*shell, apprun], env={"GOMP_SPINCOUNT": "5"})
    assert told.env["GOMP_SPINCOUNT"] == "5"
    assert "GOMP_SPINCOUNT" not in start([*shell, apprun], env={"OMP_WAIT_POLICY": "active"}).env


def test_model_path_is_not_set_where_the_user_set_none(apprun: Path) -> None:
    assert "TEA_MODEL_PATH" not in start([apprun]).env


def test_no_child_inherits_where_the_libraries_are(apprun: Path) -> None:
    appdir = str(apprun.parent)
    told = {name: value for name, value in start([apprun]).env.items() if appdir in value}
    # Both are read by the program alone; no loader looks at them.
    assert told == {"APPDIR": appdir, "TEA_LIBRARY_PATH": f"{appdir}/usr/lib/llama"}


def test_python_program_is_cut_off_from_the_python_of_the_host(apprun: Path) -> None:
    (apprun.parent / "usr/bin/tea").unlink()
    python, *words = start([apprun, "run", "a b"]).program
    assert python == f"{apprun.parent}/usr/bin/python3"
    assert words[0] == "-I"
    assert words[-2:] == ["run", "a b"]
    compile(words[words.index("-c") + 1], "-c", "exec")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("spoil", ["gone", "not executable"])
def test_copy_without_its_loader_says_so(spoil: str, shell: list[str], tmp_path: Path) -> None:
    appdir = tmp_path / "back\\nslash"
    apprun = make(appdir)
    loader = appdir / "usr/lib/ld-linux-test.so.2"
    loader.unlink() if spoil == "gone" else loader.chmod(0o644)
    done = run([*shell, apprun])
    assert done.returncode == 127
    assert done.stdout == b""
    text = f"tea: {appdir}: no loader in usr/lib, this copy is incomplete; download it again\n"
    assert os.fsdecode(done.stderr) == text


def test_program_takes_the_place_of_the_shell(apprun: Path) -> None:
    # A shell that stayed would not pass on the signal that ends it.
    loader = apprun.parent / "usr/lib/ld-linux-test.so.2"
    loader.write_text(f"#!{sys.executable} -ISE\nimport os\nprint(os.getpid())\n")
    with subprocess.Popen([apprun], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid
