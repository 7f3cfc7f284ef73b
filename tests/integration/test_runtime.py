"""The AppImage runtime, started for real in containers that are like its users' machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.integration import runtime_support as support
from tests.integration.runtime_support import (
    ALL,
    HELPER,
    MOUNTING,
    NAMESPACE,
    PLAIN,
    ROOT_MOUNT,
    Bench,
    Profile,
)

pytestmark = pytest.mark.integration

DAMAGED, NO_PLACE, NO_SPACE, NO_MOUNT, NO_EXEC, USAGE = 120, 121, 122, 123, 126, 2
CACHE = "/home/tea/.cache/tea-appimage"


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.build_runtime(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session")
def appdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.make_appdir(tmp_path_factory.mktemp("appdir"))


@pytest.fixture(scope="session")
def bench(runtime: Path, appdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    support.build_tools()
    folder = tmp_path_factory.mktemp("bench")
    folder.chmod(0o755)
    (folder / "runtime").write_bytes(runtime.read_bytes())
    (folder / "runtime").chmod(0o755)
    return Bench(folder, support.pack(appdir, runtime, folder / "app.AppImage"))


@pytest.fixture(scope="session")
def slow(bench: Bench, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """An image that takes long enough to unpack that something can happen meanwhile."""
    appdir = support.make_appdir(tmp_path_factory.mktemp("slow"), model_size=300_000_000)
    return Bench(bench.folder, support.pack(appdir, runtime, bench.folder / "slow.AppImage"))


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_runtime_is_small_static_and_has_the_marks_of_type_2(arch: str, tmp_path: Path) -> None:
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
        "python3 -c 'import ctypes as c, os; l = c.CDLL(\"libappimage.so.1.0abi1\"); "
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

    packed = seen("APPDIR=/appdir /appdir/AppRun list; APPDIR=/appdir /appdir/AppRun sums")
    assert seen("$U $A list; $U $A sums; gone") == packed


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
def test_arguments_and_standard_input_reach_the_program_unchanged(
    profile: Profile, bench: Bench
) -> None:
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
def test_the_environment_is_what_the_specification_says_from_any_path(
    profile: Profile, bench: Bench
) -> None:
    result = bench.run(
        "mkdir -m 755 $'/srv/a b\\nc'; cp $A $'/srv/a b\\nc/x y.AppImage'; cd /var;"
        "ln -s $'/srv/a b\\nc/x y.AppImage' /usr/bin/short; $U short env",
        profile=profile,
    )
    image, appdir, argv0, owd = result.out.split("|")
    assert (image, argv0, owd) == ("/srv/a b\nc/x y.AppImage", "short", "/var")
    assert appdir.startswith(CACHE if profile is PLAIN else "/tmp/.mount_xyAppI")
    assert result.err == ""


def test_target_appimage_names_another_file_and_is_not_handed_on(bench: Bench) -> None:
    result = bench.run(
        "export TARGET_APPIMAGE=$A; $U /w/runtime print APPIMAGE; echo;"
        "$U /w/runtime print TARGET_APPIMAGE"
    )
    assert result.out == "/w/app.AppImage\nunset"


# --- mounted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_the_process_that_was_started_becomes_the_program_and_has_no_children(
    profile: Profile, bench: Bench
) -> None:
    result = bench.run("$U $A pid & echo $!; wait; $U $A children; true", profile=profile)
    lines = result.out.splitlines()
    assert lines[0] == lines[1]
    assert lines[2:] == ["ps"]


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_killing_the_program_unmounts(profile: Profile, bench: Bench) -> None:
    result = bench.run(
        "$U $A sleep > /tmp/out & program=$!; settle grep -q ready /tmp/out;"
        "compgen -G '/tmp/.mount_*'; kill -9 $program; gone; echo $?",
        profile=profile,
    )
    mount, code = result.out.split()
    assert mount.startswith("/tmp/.mount_")
    assert code == "0", result.err


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_what_the_program_leaves_running_keeps_the_mount_and_blocks_no_pipe(
    profile: Profile, bench: Bench
) -> None:
    result = bench.run(
        "timeout 5 $U $A leave 601 | cat; echo $?; compgen -G '/tmp/.mount_*' | wc -l; pkill -f 'sleep 601'; gone; echo $?",
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
def test_whichever_fusermount_there_is_mounts_silently_or_not_at_all(
    case: Helpers, bench: Bench
) -> None:
    result = bench.run(
        "cp -p /usr/bin/fusermount3 /tmp/f; chmod 4755 /tmp/f; rm /usr/bin/fusermount*;"
        f"{case.setup}; TEA_RUNTIME_NO_USERNS=1 $U $A print APPDIR; gone",
        profile=HELPER,
    )
    assert result.out.startswith("/tmp/.mount_" if case.mounted else CACHE)
    assert result.err == ""


def test_the_namespace_has_an_off_switch_and_keeps_the_working_directory(bench: Bench) -> None:
    result = bench.run(
        "mkdir /srv/here; cd /srv/here; $U $A print OWD; echo; $U $A print APPDIR; echo;"
        "export TEA_RUNTIME_NO_USERNS=1; $U $A print APPDIR",
        profile=NAMESPACE,
    )
    here, inside, outside = result.out.split("\n")
    assert here == "/srv/here"
    assert inside.startswith("/tmp/.mount_")
    assert outside.startswith(CACHE)


# --- unpacked into the cache --------------------------------------------------------------------


def test_the_second_start_writes_nothing_and_uses_the_same_files(bench: Bench) -> None:
    result = bench.run(
        "$U $A; touch /tmp/stamp; cd $HOME/.cache; ls -id */*/AppDir/usr/share/models/*;"
        f"$U $A; ls -id */*/AppDir/{support.MODEL}; find . -newer /tmp/stamp | wc -l"
    )
    first, second, newer = result.out.splitlines()
    assert first == second
    assert newer == "0"
    assert support.digest(bench.image) in first


def test_first_starts_at_the_same_time_make_one_copy(slow: Bench) -> None:
    result = slow.run(
        "for i in 1 2 3 4; do $U strace -f -e trace=mkdirat -o /tmp/$i.trace"
        f" $A read {support.MODEL} > /tmp/$i.out & done; wait; chmod 666 /tmp/*.trace;"
        f"cat /tmp/*.trace | grep -c AppDir; md5sum < {CACHE}/*/AppDir/{support.MODEL};"
        "for i in 1 2 3 4; do md5sum < /tmp/$i.out; done"
    )
    made, *sums = result.out.splitlines()
    assert made == "1"
    assert len(sums) == 5
    assert len(set(sums)) == 1


@pytest.mark.parametrize("signal", ["KILL", "TERM", "INT"])
def test_a_start_that_is_killed_while_unpacking_is_never_taken_for_complete(
    signal: str, slow: Bench
) -> None:
    copy = f"{CACHE}/{support.digest(slow.image)}"
    result = slow.run(
        f"set -m; $U $A & program=$!; settle test -s {copy}.tmp/AppDir/{support.MODEL};"
        f"kill -{signal} $program; wait $program; echo $?;"
        f"test -e {copy}; echo $?; test -e {copy}.tmp; echo $?;"
        f"$U $A sums | md5sum; test -e {copy}.tmp; echo $?; $U $A sums | md5sum"
    )
    code, complete, part, first, later, second = result.out.split("\n")[:6]
    assert code == {"KILL": "137", "TERM": "143", "INT": "130"}[signal]
    assert complete == "1"
    assert part == ("0" if signal == "KILL" else "1")
    assert later == "1"
    assert first == second


@dataclass(frozen=True)
class Place:
    """A machine where a cache folder cannot be used, and what happens then."""

    name: str
    options: tuple[str, ...] = ()
    setup: str = "true"
    used: str | None = None  # the folder that the copy is in, None when there is none
    code: int = 0
    says: str = ""
    untouched: str = "/nothing"  # must hold no copy

    def __str__(self) -> str:
        return self.name


TMP = "/tmp/tea-appimage-1000"
PLACES = (
    Place("XDG_CACHE_HOME is made", setup="export XDG_CACHE_HOME=/tmp/x/y", used="/tmp/x/y"),
    Place("XDG_CACHE_HOME is relative", setup="export XDG_CACHE_HOME=x", used=CACHE),
    Place("no HOME", setup="unset HOME", used=TMP),
    Place("HOME does not exist", setup="export HOME=/home/none", used=TMP),
    Place("HOME is relative", setup="export HOME=x", used=TMP),
    Place("TMPDIR", setup="mkdir -m 777 /srv/t; chmod +t /srv/t; unset HOME; export TMPDIR=/srv/t",
          used="/srv/t/tea-appimage-1000"),
    Place("read-only home", ("--read-only", "--tmpfs", "/tmp:exec,mode=1777"), used=TMP),
    Place("nothing to write to", ("--read-only",), code=NO_PLACE, says="Read-only file system"),
    Place("home is noexec", ("--tmpfs", "/home/tea:uid=1000,noexec"), used=TMP, untouched=CACHE),
    Place("all is noexec", ("--tmpfs", "/home/tea:uid=1000,noexec", "--tmpfs", "/tmp:noexec",
          "--tmpfs", "/var/tmp:noexec"), code=NO_PLACE, says="noexec", untouched=CACHE),
    Place("home is full", ("--tmpfs", "/home/tea:uid=1000,exec,size=2m"), code=NO_SPACE,
          says="MB needed, 2 MB free", untouched=CACHE),
    Place("home fills up", ("--tmpfs", "/home/tea:uid=1000,exec,nr_inodes=200"), code=NO_SPACE,
          says="filled up", untouched=CACHE),
    Place("/tmp is full", ("--tmpfs", "/tmp:exec,mode=1777,size=2m"), "unset HOME",
          used="/var/tmp/tea-appimage-1000", untouched=TMP),
    Place("the cache is a link", setup="mkdir -p -m 777 /srv/x $HOME/.cache;"
          f"ln -s /srv/x {CACHE}; chown -R tea: $HOME", used=TMP, untouched="/srv/x"),
    Place("the cache is another user's", setup=f"mkdir -p -m 777 {CACHE}; chmod 700 {CACHE}",
          used=TMP),
    Place("others may write to the cache", setup=f"$U mkdir -p {CACHE}; chmod 777 {CACHE}",
          used=TMP, untouched=CACHE),
    Place("someone was in /tmp before", setup=f"unset HOME; mkdir {TMP}",
          used="/var/tmp/tea-appimage-1000", untouched=TMP),
    Place("someone made links in /tmp and /var/tmp", setup="unset HOME; mkdir -m 777 /srv/x;"
          f"ln -s /srv/x {TMP}; ln -s /srv/x /var/tmp/tea-appimage-1000", code=NO_PLACE,
          says="symbolic link", untouched="/srv/x"),
    Place("others may rename in /tmp", setup="unset HOME; chmod 777 /tmp",
          used="/var/tmp/tea-appimage-1000", untouched=TMP),
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_place_is_used_when_it_is_safe_and_large_enough(place: Place, bench: Bench) -> None:
    result = bench.run(
        f"{place.setup}; $U $A print APPDIR; code=$?; echo;"
        f"find {place.untouched} -mindepth 1 ! -name '*.lock' 2>/dev/null | wc -l; exit $code",
        *place.options,
    )
    used, touched = result.out.splitlines()
    assert result.code == place.code, result.err
    assert touched == "0"
    if place.used is None:
        assert used == ""
        assert place.says in result.err
        assert "hint: " in result.err
    else:
        assert used.startswith(place.used + "/")
        assert result.err == ""


@dataclass(frozen=True)
class Damage:
    """What is done to an AppImage, and what it says then."""

    name: str
    script: str
    says: str
    profiles: tuple[Profile, ...] = (PLAIN, ROOT_MOUNT)


DAMAGES = (
    Damage("cut short", "truncate -s -100000 a", "truncated"),
    Damage("cut to the runtime", "truncate -s $offset a", "no squashfs"),
    Damage("no superblock", "put $offset", "no squashfs"),
    Damage("no inodes", "put $((offset + $(at 64) )) 4096", "damaged", (PLAIN,)),
    Damage("no folders", "put $((offset + $(at 72) )) 64", "damaged", (PLAIN,)),
    Damage("not filled by a packer", "cp /w/runtime a; dd if=$A bs=$offset skip=1 >> a 2>/dev/null",
           "packer", (PLAIN,)),
    Damage("another size than promised", "put $payload 1 48", "packer", (PLAIN,)),
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
    with bench.image.open("rb") as file:
        payload = ELFFile(file).get_section_by_name(".tea_payload")["sh_offset"]
    result = bench.run(
        "cd /srv; cp $A a; offset=$($A --appimage-offset);"
        f"payload={payload};"
        r"put() { tr '\0' '\377' < /dev/zero | head -c ${2-4} | dd of=a bs=1 seek=$(($1 + ${3-0}))"
        " conv=notrunc 2>/dev/null; };"
        "at() { od -An -t u8 -j $((offset + $1)) -N 8 a | tr -d ' '; };"
        f"{damage.script}; chmod 755 a; timeout 20 $U ./a; code=$?;"
        f"find {CACHE} /root/.cache -mindepth 2 ! -name '*.lock' 2>/dev/null | wc -l; exit $code",
        profile=profile,
    )
    lines = result.err.splitlines()
    assert result.code == DAMAGED, result
    assert damage.says in lines[0]
    assert len(lines) == 2
    assert result.out.strip() == "0"


@dataclass(frozen=True)
class Harm:
    name: str
    script: str


HARMS = (
    Harm("a file is gone", "rm many/007"),
    Harm("the model is shorter", f"truncate -s -1 {support.MODEL}"),
    Harm("a folder is gone", "rm -r deep"),
    Harm("a file became a link", "ln -sf /etc/passwd text"),
    Harm("AppRun may not run", "chmod 644 AppRun"),
    Harm("the marker is gone", "rm ../.complete"),
    Harm("all is gone", "rm -r ../AppDir"),
)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.name)
def test_a_copy_that_was_harmed_is_made_again(harm: Harm, bench: Bench) -> None:
    result = bench.run(
        "$U $A list > /tmp/a; $U $A sums >> /tmp/a;"
        f"cd {CACHE}/*/AppDir; {harm.script}; cd /; $U $A list > /tmp/b;"
        "$U $A sums >> /tmp/b; cmp /tmp/a /tmp/b"
    )
    assert (result.code, result.err) == (0, "")


def test_what_a_program_adds_to_its_copy_is_left_alone(bench: Bench) -> None:
    result = bench.run(
        f"$U $A; cd {CACHE}/*/AppDir; $U mkdir added; $U $A read AppRun > /dev/null;"
        "ls -d added"
    )
    assert result.out == "added\n"


OLD, USED, NEW, LEFT, BUSY = (digit * 64 for digit in "abcde")


@pytest.mark.parametrize("keep", [False, True], ids=["pruned", "NO_CLEANUP"])
def test_old_copies_and_leavings_go_but_not_what_is_in_use(keep: bool, bench: Bench) -> None:
    result = bench.run(
        f"$U mkdir -p -m 700 {CACHE}; cd {CACHE};"
        f"for name in {OLD} {USED} {NEW}; do $U mkdir -p $name/AppDir/x;"
        "$U touch $name/.complete; done;"
        f"for name in {OLD} {USED}; do touch -d '31 days ago' $name/.complete; done;"
        f"$U mkdir -p {LEFT}.tmp/AppDir {BUSY}.tmp/AppDir other; $U touch {BUSY}.lock;"
        f"(exec 9<{USED}/.complete; flock -s 9; exec sleep 600) &"
        f"(exec 8<{BUSY}.lock; flock -x 8; exec sleep 600) & sleep 0.2;"
        f"{'export NO_CLEANUP=1;' if keep else ''} $U $A; ls"
    )
    own = support.digest(bench.image)
    kept = {USED, NEW, f"{BUSY}.tmp", f"{BUSY}.lock", "other", own, f"{own}.lock"}
    found = {name for name in result.out.split() if not name.startswith(USED + ".")}
    assert found == (kept | {OLD, f"{LEFT}.tmp"} if keep else kept), result.err


def test_a_copy_in_use_is_locked_until_the_program_ends(bench: Bench) -> None:
    result = bench.run(
        "$U $A sleep > /tmp/out & program=$!; settle grep -q ready /tmp/out;"
        f"flock -xn {CACHE}/*/.complete true; echo $?; kill $program; wait $program;"
        f"flock -xn {CACHE}/*/.complete true; echo $?"
    )
    assert result.out.split() == ["1", "0"]


# --- the runtime's own options ------------------------------------------------------------------


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
    Option("--appimage-extract-and-run print APPDIR", "/root/.cache/tea-app", profile=ROOT_MOUNT),
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
    with bench.image.open("rb") as file:
        at = ELFFile(file).get_section_by_name(".upd_info")["sh_offset"]
    text = b"gh-releases-zsync|a|b|latest|c.zsync"
    data[at : at + len(text)] = text
    copy = bench.folder / "options.AppImage"
    copy.write_bytes(data)
    copy.chmod(0o755)
    result = bench.run(f"cd /tmp; $U /w/{copy.name} {option.words}", profile=option.profile)
    assert result.code == option.code
    assert result.out.startswith(option.out)
    assert ("hint: " in result.err) == (option.code != 0)


def test_the_offset_is_where_the_squashfs_starts(bench: Bench, runtime: Path) -> None:
    result = bench.run("$A --appimage-offset")
    assert result.out == f"{runtime.stat().st_size}\n"


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


def test_extract_follows_no_link(bench: Bench) -> None:
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


def test_portable_folders_become_the_programs_home_and_configuration(bench: Bench) -> None:
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
    result = Bench(bench.folder, image).run("$U $A; code=$?; gone; exit $code", profile=profile)
    assert result.code == NO_EXEC
    assert "cannot start" in result.err.splitlines()[0]
    assert len(result.err.splitlines()) == 2
