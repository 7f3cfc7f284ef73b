"""The AppImage runtime's own options, and what it says of images that are not whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.integration import runtime_support as support
from tests.integration.runtime_support import (
    CACHE,
    HELPER,
    PLAIN,
    ROOT_MOUNT,
    Bench,
    Profile,
)

pytest_plugins = ("tests.integration.runtime_fixtures",)
pytestmark = pytest.mark.integration

DAMAGED, NO_MOUNT, NO_EXEC, USAGE = 120, 123, 126, 2


@dataclass(frozen=True)
class Option:
    words: str
    out: str
    code: int = 0
    profile: Profile = PLAIN


OPTIONS = (
    Option("--appimage-version", "TEA AppImage runtime 1."),
    Option("--appimage-help", "Options of the AppImage"),
    Option("--appimage-updateinformation", "gh-releases-zsync|a|b|latest|c.zsync\n"),
    Option("--appimage-updateinfo", "gh-releases-zsync|a|b|latest|c.zsync\n"),
    Option("--appimage-signature", "\n"),
    Option("--appimage-extract-and-run args a", "[a]"),
    Option("--appimage-extract-and-run print APPDIR", "/tmp/tea-appimage-0/", profile=ROOT_MOUNT),
    Option("args --appimage-version", "[--appimage-version]"),
    Option("--appimage-nonsense", "", code=USAGE),
    Option("--appimage-mount", "", code=NO_MOUNT),
    Option("--appimage-extract nothing/*", "", code=USAGE),
)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.words)
def test_options_answer_and_everything_else_goes_to_the_program(
    option: Option, bench: Bench
) -> None:
    data = bytearray(bench.image.read_bytes())
    at, _ = support.section(bench.image, ".upd_info")
    text = b"gh-releases-zsync|a|b|latest|c.zsync"
    data[at : at + len(text)] = text
    copy = bench.folder / "options.AppImage"
    copy.unlink(missing_ok=True)  # the last one may still bring its copy to the disk
    copy.write_bytes(data)
    copy.chmod(0o755)
    result = bench.run(f"cd /tmp; $U /w/{copy.name} {option.words}", profile=option.profile)
    assert result.code == option.code
    assert result.out.startswith(option.out)
    assert ("hint: " in result.err) == (option.code != 0)


def test_the_offset_is_where_the_squashfs_starts(bench: Bench) -> None:
    at = int(bench.run("$A --appimage-offset").out)
    assert bench.image.read_bytes()[at : at + 4] == b"hsqs"


def test_extract_gives_the_tree_and_replaces_older_files(bench: Bench, appdir: Path) -> None:
    result = bench.run(
        "mkdir -m 777 /srv/x; cd /srv/x; $U $A --appimage-extract | head -n 1;"
        "echo old > squashfs-root/text; ln -sf /etc/passwd squashfs-root/empty;"
        "$U $A --appimage-extract > /dev/null;"
        "APPDIR=$PWD/squashfs-root squashfs-root/AppRun list > /tmp/a;"
        "APPDIR=/appdir /appdir/AppRun list > /tmp/b; diff /tmp/a /tmp/b &&"
        "diff -r --no-dereference squashfs-root /appdir; ls -A; wc -l < /etc/passwd",
        "-v",
        f"{appdir}:/appdir:ro",
    )
    first, root, users = result.out.splitlines()
    assert first == "squashfs-root/AppRun"
    assert root == "squashfs-root"
    assert int(users) > 5


def test_extract_takes_a_pattern_and_makes_no_other_folders(bench: Bench) -> None:
    result = bench.run("cd /tmp; $U $A --appimage-extract 'usr/share/*'; find squashfs-root")
    assert sorted(set(result.out.split())) == [
        f"squashfs-root{part}"
        for part in ("", "/usr", "/usr/share", "/usr/share/models", "/usr/share/models/m.gguf")
    ]


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("link/models/*", ["link", "usr/share/models/m.gguf"]),
        ("link", ["link", "usr/share/models/m.gguf"]),
        ("l?nk/m*/m.gguf", ["link", "usr/share/models/m.gguf"]),
        ("dangling", ["dangling"]),
    ],
)
def test_extract_takes_what_links_of_the_bundle_lead_to(
    pattern: str, made: list[str], bench: Bench
) -> None:
    result = bench.run(
        f"cd /tmp; $U $A --appimage-extract '{pattern}' > /dev/null;"
        "cd squashfs-root; find . ! -type d -printf '%P\\n' | sort"
    )
    assert result.out.split() == made, result.err


def test_extract_follows_no_link_on_the_disk(bench: Bench) -> None:
    result = bench.run("cd /tmp; mkdir /tmp/x; ln -s x squashfs-root; $A --appimage-extract; ls x")
    assert "symbolic link" in result.err
    assert result.out == ""


@pytest.mark.parametrize("profile", [ROOT_MOUNT, HELPER], ids=str)
def test_mount_stays_until_interrupted_and_then_unmounts(profile: Profile, bench: Bench) -> None:
    result = bench.run(
        "$U $A --appimage-mount > /tmp/out & program=$!; settle test -s /tmp/out;"
        "$U cat $(cat /tmp/out)/text | head -n 1; kill -TERM $program; wait $program; echo $?;"
        "unmounted; echo $?",
        profile=profile,
    )
    assert result.out == "the quick brown fox\n0\n0\n", result.err


def test_a_portable_folder_of_another_user_is_not_used_and_said(bench: Bench) -> None:
    result = bench.run(
        "mkdir -m 777 /srv/x; cd /srv/x; cp $A a; mkdir -m 777 a.home; $U ./a print HOME;"
        "$U ./a --appimage-portable-home; echo $?"
    )
    assert result.out == "/home/tea127\n"
    assert "/srv/x/a.home belongs to another user and is not used" in result.err


def test_portable_folders_become_home_and_configuration(bench: Bench) -> None:
    result = bench.run(
        "mkdir -m 777 /srv/x; cd /srv/x; cp $A a; $U ./a print HOME; echo;"
        "$U ./a --appimage-portable-home; $U ./a --appimage-portable-config;"
        "$U ./a print HOME; echo; $U ./a print XDG_CONFIG_HOME"
    )
    assert result.out.splitlines() == [
        "/home/tea",
        "/srv/x/a.home",
        "/srv/x/a.config",
        "/srv/x/a.home",
        "/srv/x/a.config",
    ]


@pytest.mark.parametrize("profile", [PLAIN, ROOT_MOUNT], ids=str)
@pytest.mark.parametrize("apprun", ["missing", "not executable", "for another system"])
def test_an_apprun_that_cannot_be_started_is_reported_once(
    apprun: str, profile: Profile, bench: Bench, runtime: Path, tmp_path: Path
) -> None:
    appdir = tmp_path / "appdir"
    appdir.mkdir()
    (appdir / "AppRun").write_text("no program\n" if apprun == "not executable" else "\x7fELF")
    (appdir / "AppRun").chmod(0o644 if apprun == "not executable" else 0o755)
    if apprun == "missing":
        (appdir / "AppRun").unlink()
    image = support.pack(appdir, runtime, bench.folder / "bad.AppImage")
    result = replace(bench, image=image).run("$U $A; code=$?; gone; exit $code", profile=profile)
    assert result.code == NO_EXEC
    assert "cannot start" in result.err.splitlines()[0]
    assert len(result.err.splitlines()) == 2


@dataclass(frozen=True)
class Damage:
    """What is done to an AppImage, and what it says then."""

    name: str
    script: str
    says: str
    profiles: tuple[Profile, ...] = (PLAIN, ROOT_MOUNT)


DAMAGES = (
    Damage("cut short", "truncate -s -100000 a", "truncated"),
    Damage("cut to the runtime", "truncate -s $offset a", "truncated"),
    Damage("no superblock", "put $offset", "digest"),
    Damage("a byte of the program's data", "put $(($(at 64) + offset - 1)) 1", "digest"),
    Damage("no inodes", "put $((offset + $(at 64) )) 4096", "digest"),
    Damage("the last byte", "put $(($(stat -c %s a) - 1)) 1", "digest"),
    Damage("not filled by a packer", "cp /w/runtime a; dd if=$A bs=$offset skip=1 >> a 2>/dev/null",
           "packer"),
    Damage("a byte of the table", "put $payload 1 48", "digest"),
    Damage("another place of the model", "put $payload 1 57", "digest"),
    Damage("an older table", "put $payload 1 6", "missing"),
    Damage("section headers elsewhere", "put 40", "damaged"),
    Damage("no section headers", "dd if=/dev/zero of=a bs=1 seek=60 count=2 conv=notrunc 2>&-",
           "not an AppImage"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "profile"),
    [(damage, profile) for damage in DAMAGES for profile in damage.profiles],
    ids=lambda value: value.name,
)
def test_a_damaged_image_is_refused_in_one_line(
    damage: Damage, profile: Profile, bench: Bench
) -> None:
    payload, _ = support.section(bench.image, ".tea_payload")
    result = bench.run(
        "cd /srv; cp $A a; offset=$($A --appimage-offset);"
        f"payload={payload};"
        r"put() { tr '\0' '\377' < /dev/zero | head -c ${2-4} | dd of=a bs=1 seek=$(($1 + ${3-0}))"
        " conv=notrunc 2>/dev/null; };"
        "at() { od -An -t u8 -j $((offset + $1)) -N 8 a | tr -d ' '; };"
        f"{damage.script}; chmod 755 a; timeout 20 $U ./a; code=$?;"
        f"find {CACHE} /tmp/tea-* -mindepth 1 ! -name '*.lock' 2>/dev/null | wc -l; exit $code",
        profile=profile,
    )
    lines = result.err.splitlines()
    assert result.code == DAMAGED, result
    assert damage.says in lines[0]
    assert len(lines) == 2
    assert result.out.strip() == "0"


def test_a_damaged_model_is_not_unpacked_as_if_it_were_whole(bench: Bench) -> None:
    result = bench.run(
        "cd /srv; chmod 777 .; cp $A a; $U ./a print TEA_MODEL_FD > /tmp/at; settle synced;"
        "at=$(cut -d: -f2 /tmp/at); printf '\\377\\377' | dd of=a bs=1 seek=$((at + 1000000))"
        " conv=notrunc status=none; $U ./a --appimage-extract > /dev/null; echo $?;"
        "ls squashfs-root/usr/share/models | wc -l"
    )
    assert result.out == "120\n0\n"
    assert f"damaged: {support.MODEL}" in result.err


def test_good_copy_serves_an_image_damaged_since(bench: Bench) -> None:
    result = bench.run(
        "cd /srv; cp $A a; $U ./a read text | head -n 1; offset=$(./a --appimage-offset);"
        "settle synced;"
        "head -c 96 /dev/urandom | dd of=a bs=1 seek=$offset conv=notrunc status=none;"
        "$U ./a read text | head -n 1; $U ./a --appimage-extract; echo $?"
    )
    assert result.out == "the quick brown fox\nthe quick brown fox\n120\n", result.err
