"""Help for the tests of shared mounts: a shell's words for starts and servers."""

from __future__ import annotations

from tests.integration.runtime_support import HELPER, ROOT_MOUNT, Bench, Profile

PLAIN_MOUNTS = (ROOT_MOUNT, HELPER)
# ``where``: the mount that a start runs from. ``serving``: how many servers run. ``served N``:
# is it N? ``start NAME``: a program that stays, in the background; it says its mount in /tmp/NAME,
# and $NAME is its process. ``slay``: kill all servers, more than once because one may be born just
# while they are counted. ``end``: let go of what is kept; 0 when then nothing is left.
PRELUDE = r"""
export TEA_RUNTIME_LINGER=60
where() { $U "${1-$A}" print APPDIR; echo; }
serving() { pgrep -cf '^(/w|\./)'; }
start() { $U "${2-$A}" stay > /tmp/$1 & eval $1=$!; disown; settle test -s /tmp/$1; }
served() { [ "$(serving)" = $1 ]; }
killed() { pkill -$1 -f '^(/w|\./)'; served 0; }
slay() { settle killed ${1-KILL}; }
unserved() { served 0 && unmounted; }
end() { pkill -TERM -f '^(/w|\./)'; settle unserved; echo $?; }
"""


def run(
    bench: Bench, script: str, profile: Profile, *options: str, fresh: bool = False
) -> list[str]:
    """The lines that the script printed; it must not have complained."""
    result = bench.run(PRELUDE + script, *options, profile=profile, fresh=fresh)
    assert result.err == "", result
    return result.out.splitlines()
