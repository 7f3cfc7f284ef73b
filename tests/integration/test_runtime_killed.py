"""Shared mounts when starts and servers are killed, stopped, replaced or faked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.runtime_sharing import PLAIN_MOUNTS, run
from tests.integration.runtime_support import (
    HELPER,
    MOUNTING,
    ROOT_MOUNT,
    Bench,
    Profile,
)

pytest_plugins = ("tests.integration.runtime_fixtures",)
pytestmark = pytest.mark.integration


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_killed_server_is_replaced_and_leaves_nothing(
    signal: str, profile: Profile, bench: Bench
) -> None:
    first, second, third, mounts, code = run(
        bench,
        f"where; slay {signal}; where; where; compgen -G '/tmp/.mount_*' | wc -l; end",
        profile,
    )
    assert first.startswith("/tmp/.mount_")
    assert second != first
    assert (third, mounts, code) == (second, "1", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_what_another_images_killed_server_has_left_is_removed(
    profile: Profile, bench: Bench, upgrade: Path
) -> None:
    left, records, code = run(
        bench,
        f"where /w/{upgrade.name} > /tmp/left; slay; where > /dev/null;"
        "test -e $(cat /tmp/left); echo $?; ls /tmp/tea-appimage-* | grep -c socket; end",
        profile,
    )
    assert (left, records, code) == ("1", "1", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_starts_killed_at_any_moment_leave_the_next_one_working(
    profile: Profile, bench: Bench
) -> None:
    text, code = run(
        bench,
        "for ms in $(seq 0 2 60); do $U $A exit 0 & program=$!; disown 2>&-;"
        "sleep $(printf 0.%03d $ms); kill -9 $program 2>&-;"
        "[ $((ms % 10)) = 0 ] && slay; done;"
        "$U $A read text | head -n 1; slay; $U $A exit 0; end",
        profile,
    )
    assert text == "the quick brown fox"
    assert code == "0"


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_no_moment_of_a_killed_mount_leaves_a_folder(profile: Profile, bench: Bench) -> None:
    """Every 15 µs over the first 6 ms, which is longer than mounting takes on an idle machine."""
    text, folders, code = run(
        bench,
        "for n in $(seq 400); do $U $A exit 0 & program=$!; disown 2>&-;"
        "sleep $(printf 0.%06d $((n * 15))); kill -9 $program 2>&-; slay; done;"
        "$U $A read text | head -n 1; compgen -G '/tmp/.mount_*' | wc -l; end",
        profile,
    )
    assert (text, folders, code) == ("the quick brown fox", "1", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_sigterm_lets_programs_run_on_and_then_waits_for_nobody(
    profile: Profile, bench: Bench
) -> None:
    mount, lives, code = run(
        bench,
        "start one; cat /tmp/one; pkill -TERM -f '^/w/'; sleep 0.2; kill -0 $one; echo $?;"
        "kill $one; gone; echo $?",
        profile,
    )
    assert mount.startswith("/tmp/.mount_")
    assert (lives, code) == ("0", "0")


def test_a_stopped_server_is_not_waited_for_for_long(bench: Bench) -> None:
    first, second, third, code = run(
        bench, "where; pkill -STOP -f '^/w/'; where; where; pkill -CONT -f '^/w/'; end", HELPER
    )
    assert second.startswith("/tmp/.mount_")
    assert second != first
    assert (third, code) == (second, "0")


@pytest.mark.parametrize("profile", PLAIN_MOUNTS, ids=str)
def test_a_mount_that_someone_detached_is_not_joined(profile: Profile, bench: Bench) -> None:
    first, second, code = run(
        bench,
        "start one; cat /tmp/one; umount -l $(cat /tmp/one); where; kill $one; end",
        profile,
    )
    assert second.startswith("/tmp/.mount_")
    assert (second != first, code) == (True, "0")


@pytest.mark.parametrize("profile", PLAIN_MOUNTS, ids=str)
def test_a_mount_that_someone_unmounts_ends_its_server(profile: Profile, bench: Bench) -> None:
    servers, records = run(
        bench,
        "umount $(where); settle unserved; serving; ls /tmp/tea-appimage-* | grep -vc lock; true",
        profile,
    )
    assert (servers, records) == ("0", "0")


def test_more_starts_than_a_server_takes_use_another(bench: Bench) -> None:
    counts = run(
        bench,
        "for i in $(seq 70); do start p$i; done; cat /tmp/p* | sort | uniq -c | awk '{print $1}'"
        " | sort -n; pkill -x sleep; end",
        ROOT_MOUNT,
    )
    assert counts == ["6", "64", "0"]


@dataclass(frozen=True)
class Meeting:
    """What is where starts would meet, and the folder that they meet in."""

    name: str
    setup: str
    used: str | None

    def __str__(self) -> str:
        return self.name


TMP = "/tmp/tea-appimage-1000"
VAR = "/var/tmp/tea-appimage-1000"
MEETINGS = (
    Meeting("nothing", "true", TMP),
    Meeting("XDG_RUNTIME_DIR", "mkdir /srv/r; chown tea /srv/r; export XDG_RUNTIME_DIR=/srv/r",
            "/srv/r/tea-appimage-1000"),
    Meeting("no such XDG_RUNTIME_DIR", "export XDG_RUNTIME_DIR=/srv/none", TMP),
    Meeting("another user's XDG_RUNTIME_DIR", "mkdir -m 700 /srv/r; export XDG_RUNTIME_DIR=/srv/r",
            TMP),
    Meeting("a read-only home", "chmod 555 /home/tea; export HOME=/proc", TMP),
    Meeting("a long TMPDIR", "d=/srv/$(printf %0120d 0); mkdir -m 1777 $d; export TMPDIR=$d",
            "$TMPDIR/tea-appimage-1000"),
    Meeting("a folder of somebody else's", f"mkdir -m 777 {TMP}", VAR),
    Meeting("a link to a folder of the user's", f"$U mkdir -m 700 /srv/x; ln -s /srv/x {TMP}", VAR),
    Meeting("a folder that others may write to", f"$U mkdir {TMP}; chmod 777 {TMP}", VAR),
    Meeting("no safe folder", f"mkdir {TMP} {VAR}", None),
)  # fmt: skip


@pytest.mark.parametrize("meeting", MEETINGS, ids=str)
def test_starts_meet_in_a_folder_of_the_users_own_or_not_at_all(
    meeting: Meeting, bench: Bench
) -> None:
    first, second, sockets, code = run(
        bench,
        f"chmod 777 /srv; {meeting.setup}; where; where; find {meeting.used or '/tmp'} -type s"
        " 2>&- | wc -l; end; chmod 755 /srv; chmod 755 /home/tea",
        HELPER,
    )
    assert first.startswith(("/tmp/.mount_", "/srv/"))
    assert (first == second) == (meeting.used is not None)
    assert (sockets, code) == ("1" if meeting.used else "0", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
@pytest.mark.parametrize("leavings", ["a plain file", "a link", "a socket of nobody's", "no lock"])
def test_whatever_lies_under_the_name_a_start_works(
    leavings: str, profile: Profile, bench: Bench
) -> None:
    put = {
        "a plain file": "rm *.socket; $U touch $name.socket",
        "a link": "rm *.socket; $U ln -s /etc/passwd $name.socket",
        "a socket of nobody's": "slay",
        "no lock": "rm mount.lock; $U mkdir mount.lock",
    }[leavings]
    lines = run(
        bench,
        "where; cd /tmp/tea-appimage-*; name=$(basename *.socket .socket); end;"
        f"where; {put}; where; where; wc -l < /etc/passwd; end",
        profile,
    )
    first, ended, second, third, fourth, users, code = lines
    assert (ended, code) == ("0", "0")
    assert int(users) > 5
    assert len({first, second, third}) == (2 if leavings == "no lock" else 3)
    assert all(line.startswith("/tmp/.mount_") for line in (first, second, third, fourth))
    assert fourth == third
