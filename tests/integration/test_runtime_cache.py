"""The AppImage runtime without FUSE: one unpacked copy, made once, whatever goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.integration import runtime_support as support
from tests.integration.runtime_support import (
    CACHE,
    Bench,
)

pytest_plugins = ("tests.integration.runtime_fixtures",)
pytestmark = pytest.mark.integration

NO_PLACE, NO_SPACE = 121, 122


def test_the_second_start_writes_nothing(bench: Bench) -> None:
    result = bench.run(
        "$U $A; settle synced; touch /tmp/stamp; cd $HOME/.cache; ls -id */*/AppDir/packed;"
        "$U $A; ls -id */*/AppDir/packed; find . -newer /tmp/stamp | wc -l;"
        "find . -name '*.gguf' | wc -l"
    )
    first, second, newer, models = result.out.splitlines()
    assert (first, models) == (second, "0")
    assert newer == "0"
    assert support.digest(bench.image) in first


def test_first_starts_at_the_same_time_make_one_copy(slow: Bench) -> None:
    result = slow.run(
        "for i in 1 2 3 4; do $U strace -f -e trace=mkdirat -o /tmp/$i.trace"
        " $A read large > /tmp/$i.out & done; wait; chmod 666 /tmp/*.trace;"
        f"cat /tmp/*.trace | grep -c AppDir; md5sum < {CACHE}/*/AppDir/large;"
        "for i in 1 2 3 4; do md5sum < /tmp/$i.out; done"
    )
    made, *sums = result.out.splitlines()
    assert made == "1"
    assert len(sums) == 5
    assert len(set(sums)) == 1


@pytest.mark.parametrize("signal", ["KILL", "TERM", "INT"])
def test_a_start_killed_in_unpacking_is_not_complete(signal: str, slow: Bench) -> None:
    copy = f"{CACHE}/{support.digest(slow.image)}"
    # Waits without starting a process: on a busy machine the copy would be complete meanwhile.
    begun = f"[[ -s {copy}.tmp/AppDir/large ]]"
    result = slow.run(
        f"set -m; $U $A & program=$!; until {begun} || ((SECONDS > 30)); do :; done;"
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
    fresh: bool = False  # the machine cannot be used again

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
          used="/var/tmp/tea-appimage-1000", untouched=TMP, fresh=True),
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_place_is_used_when_it_is_safe_and_large_enough(place: Place, bench: Bench) -> None:
    result = bench.run(
        f"{place.setup}; $U $A print APPDIR; code=$?; echo;"
        f"find {place.untouched} -mindepth 1 ! -name '*.lock' 2>/dev/null | wc -l; exit $code",
        *place.options,
        fresh=place.fresh,
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


@pytest.mark.parametrize("owner", [65534, 1000], ids=["another user's", "the user's own"])
def test_a_copy_that_another_user_has_prepared_is_not_run(owner: int, bench: Bench) -> None:
    result = bench.run(
        f"$U $A; unset HOME; cp -r {CACHE} {TMP}; cd {TMP}/*/AppDir;"
        f"sed -i 's/printf/ech0  /' AppRun; touch -d @1600000000 AppRun; chown -R {owner} {TMP};"
        f"chmod -R a+rX {TMP}; $U $A print APPDIR"
    )
    if owner == 1000:  # the copy itself would do
        assert "ech0: not found" in result.err
    else:
        assert result.out.startswith("/var/tmp/tea-appimage-1000/"), result.err


@dataclass(frozen=True)
class Harm:
    name: str
    script: str


HARMS = (
    Harm("a file is gone", "rm many/007"),
    Harm("a file is shorter", "truncate -s -1 packed"),
    Harm("a folder is gone", "rm -r deep"),
    Harm("a file became a link", "ln -sf /etc/passwd text"),
    Harm("AppRun may not run", "chmod 644 AppRun"),
    Harm("the list is gone", "rm ../.files"),
    Harm("the list is cut short", "truncate -s -1 ../.files"),
    Harm("a folder was made unreadable", "chmod 0 many"),
    Harm("the copy was made unreadable", "chmod 0 .."),
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
        f"$U $A; cd {CACHE}/*/AppDir; $U mkdir added; $U $A read AppRun > /dev/null;ls -d added"
    )
    assert result.out == "added\n"


OLD, USED, NEW, LEFT, BUSY = (digit * 64 for digit in "abcde")


@pytest.mark.parametrize("keep", ["", "0", "1"], ids=["pruned", "NO_CLEANUP=0", "NO_CLEANUP=1"])
def test_old_copies_and_leavings_go_but_not_what_is_in_use(keep: str, bench: Bench) -> None:
    result = bench.run(
        f"$U mkdir -p -m 700 {CACHE}; cd {CACHE};"
        f"for name in {OLD} {USED} {NEW}; do $U mkdir -p $name/AppDir/x;"
        "$U touch $name/.files; done;"
        f"for name in {OLD} {USED}; do touch -d '31 days ago' $name/.files; done;"
        f"$U mkdir -p {LEFT}.tmp/AppDir {BUSY}.tmp/AppDir other; $U touch {BUSY}.lock;"
        f"(exec 9<{USED}/.files; flock -s 9; exec sleep 600) > /dev/null 2>&1 &"
        f"(exec 8<{BUSY}.lock; flock -x 8; exec sleep 600) > /dev/null 2>&1 & sleep 0.2;"
        f"export NO_CLEANUP={keep}; $U $A; ls"
    )
    own = support.digest(bench.image)
    kept = {USED, NEW, f"{BUSY}.tmp", f"{BUSY}.lock", "other", own, f"{own}.lock"}
    found = {name for name in result.out.split() if not name.startswith(USED + ".")}
    assert found == (kept | {OLD, f"{LEFT}.tmp"} if keep == "1" else kept), result.err


@pytest.mark.parametrize("used", [False, True], ids=["unused", "in use"])
def test_old_copy_that_holds_a_model_is_removed(used: bool, bench: Bench) -> None:
    hold = f"(exec 9<{NEW}/.complete; flock -s 9; exec sleep 600) > /dev/null 2>&1 & sleep 0.2;"
    result = bench.run(
        f"$U mkdir -p -m 700 {CACHE}/{NEW}/AppDir; cd {CACHE}; $U touch {NEW}/.complete;"
        f"{hold if used else ''} $U $A; ls -d {NEW} | wc -l"
    )
    assert result.out == ("1\n" if used else "0\n")


def test_copy_unfinished_at_another_boot_is_made_again(bench: Bench) -> None:
    """As after a power failure: the list is of another boot, and not marked as on the disk."""
    result = bench.run(
        f"$U $A; settle synced; cd {CACHE}/*/; stat -c %i-%.Z AppDir;"
        "echo 00000000 | dd of=.files conv=notrunc bs=8 count=1 status=none; $U $A;"
        "stat -c %i-%.Z AppDir; printf '\\0' | dd of=.files conv=notrunc bs=1 seek=36 status=none;"
        f"$U $A; stat -c %i-%.Z {CACHE}/*/AppDir"
    )
    # The time too: a folder made again may get the number of the one that was removed.
    first, synced, again = result.out.split()
    assert first == synced != again


@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "nowhere"])
def test_copy_that_cannot_be_replaced_is_passed_over_and_named(
    elsewhere: bool, bench: Bench
) -> None:
    result = bench.run(
        f"$U $A; settle synced; cd {CACHE}/*/; rm .files; chown -R 65534 AppDir/many;"
        f"{'' if elsewhere else 'chmod 777 /tmp /var/tmp;'} $U $A print APPDIR; echo =$?;"
        "chmod 1777 /tmp /var/tmp"
    )
    appdir, code = result.out.strip().split("=")
    if elsewhere:
        assert (appdir.startswith(TMP), code, result.err) == (True, "0", "")
    else:
        assert (appdir, code) == ("", str(NO_PLACE))
        assert f"{CACHE}: what is left of a copy: Permission denied" in result.err


@pytest.mark.parametrize("mode", ["000", "555"])
def test_forbidden_cache_is_named_when_nothing_else_will_do(mode: str, bench: Bench) -> None:
    result = bench.run(
        f"$U mkdir -p {CACHE}; chmod {mode} {CACHE}; chmod 777 /tmp /var/tmp; $U $A; echo $?;"
        "chmod 1777 /tmp /var/tmp"
    )
    assert result.out.strip() == str(NO_PLACE)
    assert f"{CACHE}: Permission denied" in result.err


def test_a_copy_in_use_is_locked_until_the_program_ends(bench: Bench) -> None:
    result = bench.run(
        "$U $A sleep > /tmp/out & program=$!; settle grep -q ready /tmp/out;"
        f"settle synced; flock -xn {CACHE}/*/.files true; echo $?; kill $program; wait $program;"
        f"flock -xn {CACHE}/*/.files true; echo $?"
    )
    assert result.out.split() == ["1", "0"]
