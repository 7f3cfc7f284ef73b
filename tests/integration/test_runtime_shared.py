"""One mount for several starts: kept for the next one, and shared by those that are alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.integration import runtime_support as support
from tests.integration.runtime_sharing import PLAIN_MOUNTS, run
from tests.integration.runtime_support import (
    HELPER,
    MOUNTING,
    NAMESPACE,
    ROOT_MOUNT,
    Bench,
    Profile,
)

pytest_plugins = ("tests.integration.runtime_fixtures",)
pytestmark = pytest.mark.integration

USAGE = 2


# --- kept and joined ----------------------------------------------------------------------------


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_the_next_start_uses_the_same_mount(profile: Profile, bench: Bench) -> None:
    first, second, third, servers, code = run(
        bench,
        "where; TEA_RUNTIME_LINGER=5 where; TEA_RUNTIME_LINGER=1 where; serving; gone; echo $?",
        profile,
    )
    assert first.startswith("/tmp/.mount_appApp")
    assert (second, third, servers, code) == (first, first, "1", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_starts_at_the_same_time_share_one_mount(profile: Profile, bench: Bench) -> None:
    mounts, servers, code = run(
        bench,
        "for i in $(seq 20); do where > /tmp/$i & done; wait $(jobs -p);"
        "cat /tmp/[0-9]* | sort | uniq -c | sed 's/ *//'; serving; end",
        profile,
    )
    assert mounts.startswith("20 /tmp/.mount_")
    assert (servers, code) == ("1", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_a_start_that_joins_is_a_start_like_any_other(
    profile: Profile, bench: Bench, appdir: Path
) -> None:
    """Its process, signals, files, working directory and tree; the first is the one that mounts."""
    script = (
        "cd /srv; $U $A pid & wait; echo $(($! - $(cat /tmp/pid)));"
        "$U $A children; $U $A fds | wc -l; $U $A env; echo; $U $A close;"
        "for code in 0 42; do $U $A exit $code; echo -n $?,; done;"
        "for signal in TERM KILL; do $U $A kill $signal 2>&-; echo -n $?,; done 2>&-; echo;"
        "seq 100000 | $U $A cat | md5sum; $U $A list | md5sum; $U $A sums | md5sum;"
    ).replace("$U $A pid &", "$U $A pid > /tmp/pid &")
    alone = run(bench, f"export TEA_RUNTIME_LINGER=0; {script}", profile)
    joined = run(bench, f"where > /tmp/where; {script} serving; cat /tmp/where", profile)
    servers, mount = joined[-2:]

    def told(lines: list[str]) -> list[str]:
        return ["|".join(line.split("|")[::2]) for line in lines]

    assert servers == "1"
    assert alone[0] == "0"
    assert told(joined[:-2]) == told(alone)
    assert any(f"|{mount}|" in line for line in joined)


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_a_mount_stays_while_any_of_its_programs_runs(profile: Profile, bench: Bench) -> None:
    first, second, left, code = run(
        bench,
        "export TEA_RUNTIME_LINGER=1; start one; start two; cat /tmp/one /tmp/two;"
        "kill -9 $one; sleep 1.5; serving; kill -9 $two; gone; echo $?",
        profile,
    )
    assert first == second
    assert (left, code) == ("1", "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_what_is_kept_delays_nobody_and_holds_nothing(profile: Profile, bench: Bench) -> None:
    lines = run(
        bench,
        "mkdir -m 777 /srv/d; cd /srv/d; exec 7< /etc/passwd;"
        "timeout 5 bash -c 'echo \"$($U $A args a | cat 2>&1)\"'; echo $?; cd /; rmdir /srv/d;"
        "pid=$(pgrep -f '^/w/'); ps -o tty=,ppid= -p $pid | tr -s ' ';"
        "echo $(($(ps -o sid= -p $pid) - pid));"
        "$U readlink /proc/$pid/fd/* /proc/$pid/cwd | sed 's/[:-].*//' | sort -u",
        replace(profile, options=(*profile.options, "--cap-add", "SYS_PTRACE")),
        fresh=True,
    )
    answer, code, parent, session, *files = lines
    assert (answer, code, parent, session) == ("[a]", "0", "? 1", "0")
    wanted = {"/", "/dev/fuse", "/dev/null", "/tmp/tea", "/w/app.AppImage", "socket"}
    # The files of a process in a user namespace are not shown to the user outside.
    assert set(files) == (wanted if profile is ROOT_MOUNT else set(files) & wanted)


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_a_container_ends_with_its_program(profile: Profile, bench: Bench) -> None:
    """As the engine starts it: the program is the container's first process, with no init."""
    ids = f"{profile.user}:{profile.user}"
    words = ("docker", "run", "--rm", "--network", "none", *profile.options, "--user", ids)
    folder = ("-v", f"{bench.folder}:/w", "-e", "HOME=/tmp", "-e", "TEA_RUNTIME_LINGER=600")
    done = support.docker(*words[1:], *folder, support.TOOLS, "/w/app.AppImage", "args", "a",
                          timeout=30.0)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[a]", "")


# --- not kept, not joined -----------------------------------------------------------------------


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_with_0_seconds_a_start_neither_joins_nor_keeps(profile: Profile, bench: Bench) -> None:
    kept, own, servers = run(
        bench, "where; export TEA_RUNTIME_LINGER=0; where; settle served 1; serving",
        profile,
    )  # fmt: skip
    assert own.startswith("/tmp/.mount_")
    assert own != kept
    assert servers == "1"


@pytest.mark.parametrize("seconds", ["x", "-1", "1.5", "86401", "99999999999999999999"])
def test_a_time_that_is_none_is_refused(seconds: str, bench: Bench) -> None:
    result = bench.run(f"TEA_RUNTIME_LINGER={seconds} $U $A exit 0", profile=ROOT_MOUNT)
    assert result.code == USAGE
    assert f"TEA_RUNTIME_LINGER is {seconds}" in result.err.splitlines()[0]
    assert "hint: give a whole number" in result.err


@dataclass(frozen=True)
class Change:
    """Something between two starts of ./a that are then no longer alike."""

    name: str
    script: str = "true"
    user: str = "$U"  # what the second start is started with
    profiles: tuple[Profile, ...] = MOUNTING

    def __str__(self) -> str:
        return self.name


OTHER = "setpriv --clear-groups --regid 1234 --reuid"
CHANGES = (
    Change("replaced by the same", "cp -p a b; mv b a"),
    Change("touched", "touch a"),
    Change("another user", user=f"{OTHER} 1234"),
    Change("another group", user=f"{OTHER} 1000", profiles=(HELPER,)),
    Change("another priority", user="nice -n 5 $U"),
    Change("less processor time", "ulimit -S -t 100"),
    Change("another mount namespace", user="unshare -m $U", profiles=PLAIN_MOUNTS),
    Change("no namespaces wanted", "export TEA_RUNTIME_NO_USERNS=1", profiles=PLAIN_MOUNTS),
    Change("a file named", "export TARGET_APPIMAGE=$PWD/a"),
)


@pytest.mark.parametrize(
    ("change", "profile"),
    [(change, profile) for change in CHANGES for profile in change.profiles],
    ids=str,
)
def test_starts_that_differ_share_no_mount(change: Change, profile: Profile, bench: Bench) -> None:
    first, second, code = run(
        bench,
        "mkdir -m 777 /srv/x; cd /srv/x; cp $A a; where ./a;"
        f'{change.script}; U="{change.user}"; where ./a; end',
        profile,
        fresh=True,
    )
    assert first.startswith("/tmp/.mount_")
    assert second.startswith("/tmp/.mount_")
    assert (first != second, code) == (True, "0")


@pytest.mark.parametrize("profile", MOUNTING, ids=str)
def test_an_upgrade_on_the_same_path_is_used_at_once(
    profile: Profile, bench: Bench, upgrade: Path
) -> None:
    lines = run(
        bench,
        "mkdir -m 777 /srv/x; cd /srv/x; cp $A a; $U ./a read text | head -n 1; start old ./a;"
        f"cp /w/{upgrade.name} b; touch -r a b; mv b a; $U ./a read text | head -n 1; cat /tmp/old;"
        "where ./a; where ./a; kill $old; end",
        profile,
    )
    first, second, old, new, again, code = lines
    assert (first, second) == ("the quick brown fox", "The Quick Brown Fox")
    assert old != new
    assert (again, code) == (new, "0")


def test_a_kept_image_cannot_be_written_in_place(bench: Bench) -> None:
    busy, code, free = run(
        bench,
        "mkdir -m 777 /srv/x; cd /srv/x; cp $A a; where ./a > /dev/null;"
        "cp $A a 2>&1 | grep -c busy; end; cp $A a; echo $?",
        ROOT_MOUNT,
    )
    assert (busy, code, free) == ("1", "0", "0")


def test_an_image_of_another_maker_is_mounted_for_each_start(bench: Bench, runtime: Path) -> None:
    """One whose packer has not filled the section with the digest."""
    size = runtime.stat().st_size
    first, second, servers = run(
        bench,
        f"cd /srv; cp /w/runtime a; tail -c +{size + 1} $A >> a;"
        "where ./a; where ./a; settle unserved; serving",
        ROOT_MOUNT,
    )
    assert first.startswith("/tmp/.mount_")
    assert second.startswith("/tmp/.mount_")
    assert (first != second, servers) == (True, "0")


@pytest.mark.parametrize("profile", PLAIN_MOUNTS, ids=str)
def test_mounting_by_option_shares_nothing(profile: Profile, bench: Bench) -> None:
    kept, own, code = run(
        bench,
        "where; $U $A --appimage-mount > /tmp/out & program=$!; settle test -s /tmp/out;"
        "cat /tmp/out; kill -TERM $program; settle test ! -e $(cat /tmp/out); echo $?; end",
        profile,
    )[:3]
    assert own.startswith("/tmp/.mount_")
    assert (own != kept, code) == (True, "0")


def test_a_namespace_is_joined_only_while_it_shows_the_mount(bench: Bench) -> None:
    """It is a copy of what was mounted when it was made."""
    both = replace(NAMESPACE, options=(*NAMESPACE.options, "--cap-add", "SYS_ADMIN"))
    first, second, third, seen, code = run(
        bench,
        "chmod 755 /usr/bin/fusermount3; where; where; mount -t tmpfs none /mnt; touch /mnt/x;"
        "where; $U $A cat < /mnt/x; cd /mnt; $U $A print OWD; echo; cd /; umount /mnt; end",
        both,
        fresh=True,
    )
    assert first == second
    assert (third != first, seen, code) == (True, "/mnt", "0")
