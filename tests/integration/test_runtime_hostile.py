"""The AppImage runtime among damaged images, other users, and names with a meaning elsewhere."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from tests.integration import runtime_support as support
from tests.integration.runtime_support import (
    HELPER,
    NAMESPACE,
    PLAIN,
    ROOT_MOUNT,
    Bench,
    Profile,
)

pytest_plugins = ("tests.integration.runtime_fixtures",)
pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def large(request: pytest.FixtureRequest) -> bool:
    """Whether the full numbers are asked for."""
    return bool(request.config.getoption("--large"))


# --- damage -------------------------------------------------------------------------------------

# Flips, zeros and cuts, over the ELF file's tables, the superblock, data and every table; the model
# alone is left out, which the program verifies when asked.
DAMAGE = r"""
import os, random, struct, subprocess, sys

sys.path.insert(0, "/w")
image, runtime, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
good = open(image, "rb").read()
PAYLOAD = struct.Struct("<8s32sQQQQ32s32s")
where = int(sys.argv[5])
_, _, size, _, model, model_size, *_ = PAYLOAD.unpack_from(good, where)
offset = len(good) - size
tables = offset + struct.unpack_from("<Q", good, offset + 64)[0]
noise = random.Random(seed)
REGIONS = [(40, 48), (where, where + PAYLOAD.size), (offset, offset + 96), (offset, model),
           (model + model_size, len(good)), (tables, len(good)), (tables, len(good))]
env = {**os.environ, "TARGET_APPIMAGE": "/tmp/damaged", "TEA_RUNTIME_NO_USERNS": "1",
       "ASAN_OPTIONS": "detect_leaks=0:exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}
wanted = open("/w/wanted").read()
bad = []
for number in range(count):
    data = bytearray(good)
    start, end = noise.choice(REGIONS)
    for _ in range(noise.choice((1, 1, 2, 16))):
        at = noise.randrange(start, end)
        kind = noise.randrange(4)
        if kind == 0:
            data[at] ^= 1 << noise.randrange(8)
        elif kind == 1:
            data[at] = noise.randrange(256)
        elif kind == 2:
            width = min(noise.choice((2, 4, 8)), end - at)
            data[at : at + width] = noise.choice((b"\0", b"\xff")) * width
        elif noise.randrange(8) == 0:
            del data[at:]
            break
    with open("/tmp/damaged", "wb") as file:
        file.write(data)
    way = noise.choice((["read", "text"], ["read", "text"], ["--appimage-extract"]))
    try:
        done = subprocess.run([runtime, *way], env=env, capture_output=True, timeout=60, cwd="/tmp")
        code, text = done.returncode, done.stdout.decode(errors="replace")
        good_output = code == 0 and (way[0] != "read" or text == wanted)
        fine = good_output or 120 <= code <= 127
        why = f"exit code {code}: {done.stderr[-2000:]!r}"
    except subprocess.TimeoutExpired:
        fine, why = False, "does not end"
    if not fine:
        bad.append(f"{number} {way} {why}")
    subprocess.run("rm -rf /tmp/squashfs-root /tmp/tea-* /root/.cache/*; "
                   "grep -o '/tmp/.mount_[^ ]*' /proc/mounts | xargs -r umount -l", shell=True)
print(len(bad), *bad[:5], sep="\n")
"""


@pytest.mark.parametrize("profile", [PLAIN, ROOT_MOUNT], ids=str)
def test_a_damaged_image_gives_the_good_ones_output_or_an_error(
    profile: Profile, bench: Bench, tmp_path: Path, large: bool
) -> None:
    sanitized = support.build_sanitized(tmp_path)
    (bench.folder / "sanitized").write_bytes(sanitized.read_bytes())
    (bench.folder / "sanitized").chmod(0o755)
    (bench.folder / "damage.py").write_text(DAMAGE)
    (bench.folder / "wanted").write_text("the quick brown fox\n" * 3)
    count = 10_000 if large else 500
    table, _ = support.section(bench.image, ".tea_payload")
    home = "export HOME=/root; mkdir -p /root/.cache; " if profile is PLAIN else ""
    result = bench.run(
        f"{home}python3 /w/damage.py $A /w/sanitized {count} 7 {table}",
        profile=profile,
        timeout=7200,
    )
    assert result.out.startswith("0\n"), result


# --- other users --------------------------------------------------------------------------------

# Puts, as fast as it can, a folder of its own in the place of whatever appears in $TMPDIR.
ATTACK = r"""
cd $TMPDIR
while :; do
    mv $TMPDIR $TMPDIR.$RANDOM 2> /dev/null && mkdir -m 777 $TMPDIR && cd $TMPDIR
    for name in tea-appimage-0 .mount_*; do
        [ -O "$name" ] || mv "$name" ".was.$RANDOM" 2> /dev/null
        mkdir -p $name/{00..ff} $name/AppDir 2> /dev/null
        cp /tmp/evil $name/AppRun 2> /dev/null
        for copy in .was.*/*/AppDir; do cp /tmp/evil $copy/AppRun 2> /dev/null; done
    done
done
"""
EVIL = "#!/bin/sh\ntouch /tmp/taken; exit 0\n"


@pytest.mark.parametrize(
    "folder", ["others may write to it", "another user's", "below one of those"]
)
@pytest.mark.parametrize("profile", [PLAIN, ROOT_MOUNT], ids=str)
def test_root_runs_no_foreign_code_from_temporary_folders(
    profile: Profile, folder: str, bench: Bench, large: bool
) -> None:
    (bench.folder / "attack.sh").write_text(ATTACK)
    (bench.folder / "evil").write_text(EVIL)
    make = {
        "others may write to it": "mkdir -m 777 /srv/t; export TMPDIR=/srv/t",
        "another user's": "mkdir -m 755 /srv/t; chown tea /srv/t; export TMPDIR=/srv/t",
        "below one of those": "mkdir -m 777 /srv/t; mkdir /srv/t/o; export TMPDIR=/srv/t/o",
    }[folder]
    result = bench.run(
        f"install -m 755 /w/evil /tmp/evil; {make}; export HOME=/nonexistent;"
        "setpriv --reuid 1000 --regid 1000 --clear-groups bash /w/attack.sh > /dev/null 2>&1 &"
        f"for i in $(seq {1000 if large else 100}); do $A exit 7; [ $? = 7 ] || echo no; done;"
        "kill $!; ls /tmp/taken 2> /dev/null; ls -A $TMPDIR | grep -v was",
        profile=profile,
        timeout=600,
    )
    assert "no" not in result.out.split()
    assert "/tmp/taken" not in result.out


# --- names --------------------------------------------------------------------------------------

NAMES = [
    "a:b",
    "a;b",
    "$ORIGIN",
    "${LIB}",
    'it\'s "so"',
    "new\nline",
    "-dash",
    "\udcff\udcfe",
    "ünï",
]


@pytest.mark.parametrize("profile", [PLAIN, HELPER, NAMESPACE], ids=str)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_will_do_for_bundle_home_and_temporary_folder(
    name: str, profile: Profile, program: Bench
) -> None:
    quoted = "$'" + "".join(f"\\x{byte:02x}" for byte in os.fsencode(name)) + "'"
    result = program.run(
        f"cd /srv; chmod 755 .; mkdir -m 755 -- {quoted}; cd -- {quoted};"
        f"cp -- $A {quoted}; mkdir -m 700 -- home tmp; chown tea home tmp; chmod 755 -- {quoted};"
        "[ $HOME = /nonexistent ] || export HOME=$PWD/home; export TMPDIR=$PWD/tmp ARGV0=x;"
        f"cd $HOME 2> /dev/null || cd tmp; echo decoy > libc.so.6; $U ../{quoted} 'a b'",
        profile=profile,
    )
    assert (result.code, result.err) == (0, "")
    found = json.loads(ast.literal_eval(result.out))
    place = f"/srv/{name}/{'home/.cache' if profile is PLAIN else 'tmp'}/"
    env = found["env"]
    assert found["words"] == ["a b"]
    assert found["model"] == "GGUF in place"
    assert found["child"] == 0
    assert env["APPIMAGE"] == f"/srv/{name}/{name}"
    assert env["APPDIR"].startswith(place)
    assert "ARGV0" not in env
    shown = place.replace("\n", "\\012")
    assert [name for name in found["libraries"] if not name.startswith(shown)] == []
    assert any(library.endswith("libtest.so") for library in found["libraries"])
