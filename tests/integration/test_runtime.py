"""The AppImage runtime, started for real in containers that are like its users' machines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.integration import runtime_support as support
from tests.integration.runtime_support import (
    ALL,
    CACHE,
    HELPER,
    MOUNTING,
    NAMESPACE,
    PLAIN,
    Bench,
    Profile,
)

pytest_plugins = ("tests.integration.runtime_fixtures",)
pytestmark = pytest.mark.integration

TEMPORARY = "/tmp/tea-appimage-1000/"


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_runtime_is_small_static_and_of_type_2(arch: str, tmp_path: Path) -> None:
    path = support.build_runtime(tmp_path, arch)
    with path.open("rb") as file:
        elf = ELFFile(file)
        sizes = {section.name: section["sh_size"] for section in elf.iter_sections()}
        end = elf["e_shoff"] + elf["e_shnum"] * elf["e_shentsize"]
        machine = elf["e_machine"]
        interpreted = any(part["p_type"] == "PT_INTERP" for part in elf.iter_segments())
    head = path.read_bytes()[:16]
    assert head[7:11] == b"\0AI\x02"
    assert machine == {"amd64": "EM_X86_64", "arm64": "EM_AARCH64"}[arch]
    assert end == path.stat().st_size <= 1_600_000
    assert not interpreted
    wanted = {".digest_md5": 16, ".upd_info": 1024, ".sha256_sig": 1024, ".sig_key": 8192}
    assert {name: sizes.get(name) for name in wanted} == wanted
    assert sizes[".tea_payload"] == support.PAYLOAD.size


def test_libappimage_reads_the_image_as_type_2(bench: Bench) -> None:
    result = bench.run(
        'python3 -c \'import ctypes as c, os; l = c.CDLL("libappimage.so.1.0abi1"); '
        'print(l.appimage_get_type(os.environ["A"].encode(), 0))\''
    )
    assert (result.code, result.out.strip()) == (0, "2")


# --- one way or another, the program runs -------------------------------------------------------


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_the_program_sees_the_tree_as_it_was_packed(
    profile: Profile, bench: Bench, appdir: Path
) -> None:
    def seen(script: str) -> str:
        result = bench.run(script, "-v", f"{appdir}:/appdir:ro", profile=profile)
        assert (result.code, result.err) == (0, "")
        return result.out

    script = "APPDIR=/appdir /appdir/AppRun list; APPDIR=/appdir /appdir/AppRun sums"
    packed = seen(script).splitlines()
    if profile is PLAIN:  # the model stays in the image
        packed = [line for line in packed if support.MODEL not in line]
    assert seen("$U $A list; $U $A sums; gone").splitlines() == packed


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_model_is_read_from_the_open_image_once_deleted(
    profile: Profile, bench: Bench, appdir: Path
) -> None:
    result = bench.run(
        "cp $A /srv/a; chmod 755 /srv; ln -s a /srv/b; cd /srv; $U ./b model | sha256sum;"
        "mkfifo -m 666 /tmp/go; $U ./a wait /tmp/go | sha256sum & sleep 0.3; rm a;"
        "echo > /tmp/go; wait",
        profile=profile,
    )
    wanted = hashlib.sha256((appdir / support.MODEL).read_bytes()).hexdigest()
    assert result.out == f"{wanted}  -\n" * 2, result.err


def test_a_place_of_a_model_from_outside_is_not_handed_on(runtime: Path, bench: Bench) -> None:
    appdir = bench.folder / "thin"
    appdir.mkdir()
    (appdir / "AppRun").write_text('#!/bin/sh\necho "${TEA_MODEL_FD-none}"\n')
    (appdir / "AppRun").chmod(0o755)
    image = support.pack(appdir, runtime, bench.folder / "thin.AppImage")
    assert replace(bench, image=image).run("TEA_MODEL_FD=3:0:9 $U $A").out == "none\n"


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_exit_codes_and_signals_are_the_programs_own(profile: Profile, bench: Bench) -> None:
    result = bench.run(
        "for code in 0 1 42 255; do $U $A exit $code; echo -n $?,; done;"
        "for signal in TERM KILL INT HUP; do $U $A kill $signal; echo -n $?,; done; gone",
        profile=profile,
    )
    assert result.out == "0,1,42,255,143,137,130,129,"
    assert result.code == 0


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_arguments_and_input_reach_the_program_unchanged(profile: Profile, bench: Bench) -> None:
    result = bench.run(
        "$U $A args '' 'a  b' $'c\\nd' '*' -- --appimage-help 'ü'; seq 100000 | $U $A cat"
        " | md5sum; seq 100000 | md5sum",
        profile=profile,
    )
    words, *sums = result.out.rsplit("]", 1)
    assert words == "[][a  b][c\nd][*][--][--appimage-help][ü"
    first, second = sums[0].split("\n")[:2]
    assert first == second


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_closed_standard_streams_stay_closed_and_harm_nothing(
    profile: Profile, bench: Bench
) -> None:
    result = bench.run(
        "$U $A read text <&- 2>&- | head -n 1; $U $A exit 42 <&- >&- 2>&-; echo $?;"
        "$U $A closed <&-; gone",
        profile=profile,
    )
    assert result.out == "the quick brown fox\n42\nclosed\n", result


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_the_environment_is_the_specification_s_from_any_path(
    profile: Profile, bench: Bench
) -> None:
    result = bench.run(
        "mkdir -m 755 $'/srv/a b\\nc'; cp $A $'/srv/a b\\nc/x y.AppImage'; cd /var;"
        "ln -s $'/srv/a b\\nc/x y.AppImage' /srv/short; $U /srv/short env",
        profile=profile,
    )
    image, appdir, argv0, owd = result.out.split("|")
    assert (image, argv0, owd) == ("/srv/a b\nc/x y.AppImage", "/srv/short", "/var")
    assert appdir.startswith(CACHE if profile is PLAIN else "/tmp/.mount_xyAppI")
    assert result.err == ""


def test_target_appimage_names_another_file(bench: Bench) -> None:
    result = bench.run(
        "export TARGET_APPIMAGE=$A; $U /w/runtime print APPIMAGE; echo;"
        "$U /w/runtime print TARGET_APPIMAGE"
    )
    assert result.out == "/w/app.AppImage\nunset"


# --- mounted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_the_process_becomes_the_program_without_children(profile: Profile, bench: Bench) -> None:
    result = bench.run("$U $A pid & echo $!; wait; $U $A children; true", profile=profile)
    lines = result.out.splitlines()
    assert lines[0] == lines[1]
    assert lines[2:] == ["ps"]


KILLS = {
    "the program": "kill -9 $program",
    "its process group": "kill -9 -- -$program",
    "all of it politely": "pkill -TERM -f '^/w/'; kill -TERM $program",
}


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
@pytest.mark.parametrize("kill", KILLS)
def test_killing_the_program_unmounts(kill: str, profile: Profile, bench: Bench) -> None:
    result = bench.run(
        "set -m; $U $A sleep > /tmp/out & program=$!; settle grep -q ready /tmp/out;"
        f"compgen -G '/tmp/.mount_*'; {KILLS[kill]}; gone; echo $?",
        profile=profile,
    )
    mount, code = result.out.split()
    assert mount.startswith("/tmp/.mount_")
    assert code == "0", result.err


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_a_program_that_closes_every_file_stays_mounted(profile: Profile, bench: Bench) -> None:
    result = bench.run("$U $A close; gone; echo $?", profile=profile)
    assert result.out == "the quick brown fox\n\n0\n", result.err


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_what_is_left_running_keeps_the_mount(profile: Profile, bench: Bench) -> None:
    result = bench.run(
        "timeout 5 $U $A leave 601 | cat; echo $?; compgen -G '/tmp/.mount_*' | wc -l;"
        "pkill -x sleep; gone; echo $?",
        profile=profile,
    )
    assert result.out.split() == ["0", "1", "0"], result.err


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_ctrl_c_reaches_the_program_and_not_the_file_system(profile: Profile, bench: Bench) -> None:
    (bench.folder / "terminal.py").write_text(TERMINAL)
    result = bench.run("$U python3 /w/terminal.py $A trap; echo $?; gone", profile=profile)
    assert result.out.replace("\r", "").endswith("the quick brown fox\n5\n"), result


TERMINAL = r"""
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
sent = False
while True:
    try:
        data = os.read(terminal, 1000)
    except OSError:
        break
    if not data:
        break
    seen += data
    if b"ready" in seen and not sent:
        os.write(terminal, b"\x03")
        sent = True
os.write(1, seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@dataclass(frozen=True)
class Helpers:
    name: str
    setup: str
    mounted: bool


HELPERS = (
    Helpers("only FUSE 2's name", "mv /tmp/f /usr/bin/fusermount", mounted=True),
    Helpers("none", "true", mounted=False),
    Helpers("named", "mv /tmp/f /usr/bin/mine; export FUSERMOUNT_PROG=mine", mounted=True),
    Helpers("failing", "ln -s /bin/false /usr/bin/fusermount3", mounted=False),
)


@pytest.mark.parametrize("case", HELPERS, ids=lambda case: case.name)
def test_any_fusermount_mounts_silently_or_not_at_all(case: Helpers, bench: Bench) -> None:
    result = bench.run(
        "cp -p /usr/bin/fusermount3 /tmp/f; chmod 4755 /tmp/f; rm /usr/bin/fusermount*;"
        f"{case.setup}; TEA_RUNTIME_NO_USERNS=1 $U $A print APPDIR; gone",
        profile=HELPER,
        fresh=True,
    )
    assert result.out.startswith("/tmp/.mount_" if case.mounted else TEMPORARY)
    assert result.err == ""


def test_the_namespace_can_be_off_and_keeps_the_directory(bench: Bench) -> None:
    result = bench.run(
        "mkdir /srv/here; cd /srv/here; $U $A print OWD; echo; $U $A print APPDIR; echo;"
        "export TEA_RUNTIME_NO_USERNS=1; $U $A print APPDIR",
        profile=NAMESPACE,
    )
    here, inside, outside = result.out.split("\n")
    assert here == "/srv/here"
    assert inside.startswith("/tmp/.mount_")
    assert outside.startswith(TEMPORARY)


def test_copy_comes_first_then_a_mount_then_a_temporary_copy(bench: Bench) -> None:
    script = (
        "chmod 755 /home/tea; export HOME=/home/tea; $U $A print APPDIR; echo; rm -r $HOME/.cache;"
    )
    script += (
        "chown root /home/tea; $U $A print APPDIR; echo; chmod 0 /dev/fuse; $U $A print APPDIR;"
    )
    script += "chown tea /home/tea"
    home, mount, temporary = bench.run(script, profile=HELPER, fresh=True).out.splitlines()
    assert home.startswith(CACHE)
    assert mount.startswith("/tmp/.mount_")
    assert temporary.startswith(TEMPORARY)
