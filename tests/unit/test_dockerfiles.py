"""What holds the builds to cross-compiling: no step runs the target's code, none names a target."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from tasks import catalog
from tasks.base.paths import ROOT

DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*/Dockerfile"))
NAMES = [path.parent.name for path in DOCKERFILES]
EMULATORS = re.compile(r"qemu|binfmt|box64")


@dataclass
class Stage:
    """A stage of a Dockerfile: whether it is of the build machine's architecture, or empty."""

    name: str
    native: bool
    steps: list[str] = field(default_factory=list)


def instructions(text: str) -> Iterator[str]:
    """The instructions, continued lines joined, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            yield " ".join(line.split())


def faults(text: str) -> list[str]:
    """Where the Dockerfile could run the target's code: nothing for one that cannot.

    Every stage is of $BUILDPLATFORM, is empty (scratch), or goes on from one of these; only the
    first kind has RUN steps; files come from stages or from named folders, not from images.
    """
    stages: dict[str, Stage] = {}
    found = []
    for line in instructions(text):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            start = re.fullmatch(r"(?:--platform=(\S+) )?(\S+) AS (\S+)", rest)
            if start is None:
                found.append(f"{line}: a stage without a name")
                continue
            platform, image, name = start.groups()
            inherited = stages.get(image)
            native = platform == "$BUILDPLATFORM" or (inherited is not None and inherited.native)
            if not (native or image == "scratch" or inherited):
                found.append(f"{line}: the image may be the target's")
            if platform not in (None, "$BUILDPLATFORM"):
                found.append(f"{line}: names the platform {platform}")
            stages[name] = Stage(name, native)
        elif word == "RUN" and stages:
            stage = list(stages.values())[-1]
            if not stage.native:
                found.append(f"{stage.name}: a step in a stage that is not the build machine's")
            if EMULATORS.search(rest):
                found.append(f"{stage.name}: names an emulator")
        elif word in ("COPY", "ADD"):
            source = re.search(r"--from=(\S+)", rest)
            if source and re.search(r"[:/@$]", source[1]):
                found.append(f"{line}: takes files from an image")
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_no_step_of_a_build_can_run_the_targets_code(path: Path) -> None:
    assert faults(path.read_text()) == []


def test_there_are_dockerfiles_and_their_stages_are_seen() -> None:
    assert {"debs", "llama", "pack", "python", "runtime", "rust", "web"} <= set(NAMES)
    for path in DOCKERFILES:
        lines = list(instructions(path.read_text()))
        assert any(line.startswith("FROM ") for line in lines)
        assert any(line.startswith("RUN ") for line in lines)


NATIVE = "ARG BASE\nFROM --platform=$BUILDPLATFORM ${BASE} AS one\n"
BROKEN = {
    "the target's image": "FROM ${BASE} AS one\n",
    "the target's platform": "FROM --platform=$TARGETPLATFORM ${BASE} AS one\n",
    "a fixed platform": "FROM --platform=linux/arm64 ${BASE} AS one\nRUN true\n",
    "a step in an empty stage": f"{NATIVE}FROM scratch AS two\nCOPY --from=one / /\nRUN /bin/x\n",
    "a step in what an empty stage became": (
        f"{NATIVE}FROM scratch AS two\nFROM two AS three\nRUN true\n"
    ),
    "an emulator by name": f"{NATIVE}RUN apt-get install \\\n    qemu-user-static\n",
    "files from an image": f"{NATIVE}COPY --from=debian:13 /bin/sh /\n",
    "a stage without a name": "FROM --platform=$BUILDPLATFORM ${BASE}\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_rule_sees(name: str) -> None:
    assert len(faults(BROKEN[name])) >= 1


def test_rule_lets_pass_what_goes_on_from_the_build_image() -> None:
    text = f"{NATIVE}RUN cc x.c \\\n  # qemu is not run\n  -o x\nFROM one AS two\nRUN true\n"
    assert faults(f"{text}FROM scratch AS out\nCOPY --from=two /x /\n") == []


# -- names of architectures

# What tools call architectures, those of the table and others; wasm32 is one for all machines.
OTHERS = "x86 x64 i386 i686 arm armhf armel armv[0-9] riscv riscv64 ppc64 ppc64le s390x loong64"


def named() -> re.Pattern[str]:
    """Whatever a row of targets.toml calls its architecture, as a word or within one."""
    rows = catalog.targets().values()
    told = {row.arch for row in rows} | {word for row in rows for word in row.backends_left_out}
    told |= {
        value for row in rows for value in (row.debian, row.gnu, row.rust, row.loader, row.elf)
    }
    told |= {row.cross for row in rows} | {row.branch_protection.lstrip("-") for row in rows}
    words = sorted(map(re.escape, told - {""}), key=len, reverse=True)
    words += [rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])" for word in OTHERS.split()]
    return re.compile("|".join(words))


def architectures(text: str) -> list[str]:
    """The architectures that the instructions name; comments may."""
    return named().findall("\n".join(instructions(text)))


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_no_dockerfile_names_an_architecture(path: Path) -> None:
    assert architectures(path.read_text()) == []


@pytest.mark.parametrize(
    "step",
    [
        "RUN apt-get install gcc-aarch64-linux-gnu",
        "RUN apt-get install libc6-dev-arm64-cross libfuse3-dev:amd64",
        'RUN case "$TARGETARCH" in riscv64) true ;; esac',
        "RUN cargo build --target x86_64-unknown-linux-gnu",
        "RUN cc -fcf-protection x.c",
        "RUN rm libggml-cpu-icelake.so",
        "COPY --from=debs /lib/ld-linux-x86-64.so.2 /",
        "ARG TRIPLE=armv7-unknown-linux-gnueabihf",
        "RUN echo \\\n  arm64",
    ],
)
def test_rule_sees_the_architecture_in(step: str) -> None:
    assert architectures(f"{NATIVE}{step}\n") != []


def test_rule_lets_pass_what_is_told_and_comments() -> None:
    text = f'{NATIVE}ARG TARGET_GNU\n# as for arm64\nRUN "$TARGET_GNU-gcc" -c alarm.c\n'
    assert architectures(text) == []


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_every_name_that_a_dockerfile_asks_for_is_told(path: Path) -> None:
    text = "\n".join(instructions(path.read_text()))
    for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
        lines = [line for line in stage.splitlines() if line.startswith("ARG ")]
        asked = {word for line in lines for word in re.findall(r"\bTARGET_\w+", line)}
        assert asked <= set(catalog.native_target().build_args)
        # One that is not asked for is empty, and no error.
        assert set(re.findall(r"\$\{?(TARGET_\w+)", stage)) <= asked


# -- kept target folders


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_cargo_takes_no_other_checkout_s_program(path: Path) -> None:
    for line in instructions(path.read_text()):
        if line.startswith("RUN ") and "--mount=type=cache,target=/build," in line:
            before, cargo, _ = line.partition(" cargo ")
            # By time stamps alone, sources that are older than the last build count as built.
            assert cargo and "find /src -type f -exec touch {} +;" in before, line[:200]


# -- how far a build has come

CARGO = """\
   Compiling llama-cpp-sys-2 v0.1.161
     Running `CARGO=/usr/bin/cargo TARGET=x /build/release/build/build-script-build`
[llama-cpp-sys-2 0.1.161] cargo:rerun-if-changed=wrapper.h
[llama-cpp-sys-2 0.1.161] [120/387] Building CXX object src/llama.cpp.o
[llama-cpp-sys-2 0.1.161] src/llama.cpp:1: error: no such thing
[clang-sys 1.9.1] cargo:rustc-link-lib=clang
error: failed to run custom build command
"""


def test_build_of_llama_cpp_says_what_ninja_counts() -> None:
    lines = list(instructions((DOCKER / "llama/Dockerfile").read_text()))
    (run,) = (line for line in lines if " cargo build " in line)
    found = re.search(r"cargo build .* -vv 2>&1 \| (sed .*?);", run)
    assert found
    done = subprocess.run(
        shlex.split(found[1]), input=CARGO, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "   Compiling llama-cpp-sys-2 v0.1.161",
        "[120/387] Building CXX object src/llama.cpp.o",
        "src/llama.cpp:1: error: no such thing",
        "error: failed to run custom build command",
    ]
    assert 'SHELL ["/bin/bash", "-o", "pipefail", "-c"]' in lines[: lines.index(run)]


# -- byte code


@pytest.fixture(scope="module")
def assemble() -> ModuleType:
    """The script that puts the Python AppDir together, as a module."""
    spec = importlib.util.spec_from_file_location("assemble", DOCKER / "python/assemble.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_and_wheels_are_for_one_python() -> None:
    packages = set(re.findall(r"python(3\.\d+)", (DOCKER / "python/debs.txt").read_text()))
    wheels = re.findall(r"--python-version (\S+)", (DOCKER / "python/Dockerfile").read_text())
    assert len(packages) == 1
    assert set(wheels) == packages


def test_byte_code_of_another_python_is_refused(assemble: ModuleType, tmp_path: Path) -> None:
    other = tmp_path / "debs/usr/lib/python3.99"
    other.mkdir(parents=True)
    (other / "os.py").touch()
    with pytest.raises(SystemExit, match="it would not fit"):
        assemble.install_python(tmp_path / "debs", "aarch64-linux-gnu", tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_byte_code_is_this_python_s_and_unchecked(assemble: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("x = 1\n")
    code = assemble.byte_code(source, "a.py")
    assert code[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(code[4:8], "little") == 1  # by the source's hash, never compared
