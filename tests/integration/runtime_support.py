"""Help for the runtime's tests: build it, pack a small AppImage, run it in a container."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tasks import catalog, images
from tasks.engine.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
NATIVE = catalog.native_target().debian
TOOLS = f"tea-test/runtime-tools:{NATIVE}"
PAYLOAD = struct.Struct("<8s32sQQQQ32s32s")
MODEL = "usr/share/models/m.gguf"
CACHE = "/home/tea/.cache/tea-appimage"

# The program inside the test images: one word says what to do, so that each test reads by itself.
APPRUN = r"""#!/bin/sh
case "${1-}" in
    args) shift; for word in "$@"; do printf '[%s]' "$word"; done ;;
    env) printf '%s|%s|%s|%s' "$APPIMAGE" "$APPDIR" "$ARGV0" "$OWD" ;;
    model) exec python3 -c 'import os, sys
fd, at, size = map(int, os.environ["TEA_MODEL_FD"].split(":"))
sys.stdout.buffer.write(os.pread(fd, size, at))' ;;
    wait) read -r _ < "$2"; exec "$APPDIR/AppRun" model ;;
    print) eval "printf %s \"\${$2-unset}\"" ;;
    exit) exit "$2" ;;
    kill) kill -"$2" $$ ;;
    pid) echo $$ ;;
    children) ps -o comm= --ppid $$; : ;;
    fds) ls /proc/$$/fd ;;
    cat) exec cat ;;
    closed) [ -e /proc/$$/fd/0 ] || echo closed ;;
    close) exec python3 -c "import os, time; os.closerange(3, 1024); time.sleep(0.3)
print(open(os.environ['APPDIR'] + '/text').readline())" ;;
    sleep) echo ready; exec sleep 600 ;;
    stay) echo "$APPDIR"; exec sleep 600 ;;
    leave) (sleep "$2" <&- >&- 2>&- &) ;;
    trap) trap 'cat "$APPDIR/text"; exit 5' INT; echo ready; while :; do sleep 0.05; done ;;
    read) exec cat "$APPDIR/$2" ;;
    list) cd "$APPDIR" && find . -mindepth 1 -printf '%P|%y|%m|%l|%T@\n' | sort ;;
    sums) cd "$APPDIR" && find . -type f -exec sha256sum {} + | sort ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a script in a container left. Its exit code is of the last command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of machine, as options of the engine, and the user that starts the AppImage."""

    name: str
    options: tuple[str, ...]
    user: int = 1000

    def __str__(self) -> str:
        return self.name


# Where there is FUSE the tests' home takes no copy, else nothing would be mounted.
_FUSE = ("--device", "/dev/fuse", "--security-opt", "apparmor=unconfined")
PLAIN = Profile("no FUSE", ())
ROOT_MOUNT = Profile("root mounts", (*_FUSE, "--cap-add", "SYS_ADMIN"), user=0)
HELPER = Profile("fusermount3 mounts", (*_FUSE, "--cap-add", "SYS_ADMIN"))
NAMESPACE = Profile("user namespace", (*_FUSE, "--security-opt", "seccomp=unconfined"))
MOUNTING = (ROOT_MOUNT, HELPER, NAMESPACE)
ALL = (PLAIN, *MOUNTING)


def docker(*words: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run the engine's client; its output is kept."""
    return subprocess.run(
        ("docker", *words), capture_output=True, text=True, timeout=timeout, check=False
    )


@cache
def base() -> str:
    """The image that the project builds in."""
    with Engine.connect() as engine:
        return images.ensure(catalog.images()["build"], engine.target, engine).reference


def build(dockerfile: str, *options: str, arch: str = NATIVE) -> None:
    """Build one Dockerfile of the repository on the base image."""
    (target,) = (row for row in catalog.targets().values() if row.debian == arch)
    args = {"BASE": base(), **target.build_args}
    done = docker(
        *("buildx", "build", "--network", "host", "--allow", "network.host"),
        *(word for pair in args.items() for word in ("--build-arg", "=".join(pair))),
        *("--platform", target.platform),
        *("-f", str(ROOT / dockerfile), *options, str(ROOT)),
        timeout=900.0,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def build_runtime(out: Path, arch: str = NATIVE) -> Path:
    """The runtime for one architecture, into the folder ``out``."""
    build("docker/runtime/Dockerfile", "--output", f"type=local,dest={out}", arch=arch)
    return out / "runtime"


def build_sanitized(out: Path) -> Path:
    """The runtime under sanitizers, which looks at a file that ``TARGET_APPIMAGE`` names."""
    target = ("--target", "export-sanitized")
    build("docker/runtime/Dockerfile", *target, "--output", f"type=local,dest={out}")
    return out / "runtime"


def build_tools() -> None:
    """The image that the tests run in."""
    build("tests/integration/runtime-tools.Dockerfile", "--load", "-t", TOOLS)


def make_appdir(folder: Path, *, large: int = 0) -> Path:
    """A small AppDir with every kind of file that the runtime has to carry over.

    The model has a block of zeros in its middle and ends off a block's border. The file ``large``
    has that many bytes.
    """
    noise = random.Random(7)
    block = 128 << 10
    models = folder / Path(MODEL).parent
    models.mkdir(parents=True)
    model = bytearray(noise.randbytes(3_000_001))
    model[4 * block : 5 * block] = bytes(block)
    (folder / MODEL).write_bytes(model)
    with (folder / "large").open("wb") as file:
        for at in range(0, large, len(model)):
            file.write(struct.pack("<Q", at) + model[8 : large - at])
    (folder / "AppRun").write_text(APPRUN)
    (folder / "AppRun").chmod(0o755)
    (folder / "text").write_text("the quick brown fox\n" * 3)
    (folder / "empty").touch()
    (folder / "packed").write_bytes(b"0123456789abcdef" * 40_000)
    (folder / "whole").write_bytes(noise.randbytes(2 * block))
    (folder / "read-only").write_text("x")
    (folder / "read-only").chmod(0o444)
    (folder / "a b\nc ü").write_text("a name with a space, a new line and a letter")
    deep = folder.joinpath(*("deep" for _ in range(20)))
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    many = folder / "many"
    many.mkdir()
    for number in range(500):
        (many / f"{number:03}").write_text(str(number))
    (folder / "link").symlink_to("usr/share")
    (folder / "dangling").symlink_to("/nowhere/at all")
    os.link(folder / "text", folder / "second name")
    for path in folder.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    return folder


def make_program(folder: Path) -> Path:
    """An AppDir as the bundles': a program with a loader, libc and libraries of its own.

    It loads libraries at run time from where Python and the programs do, and says where it is.
    """
    script = """
mkdir -p /out/usr/bin /out/usr/lib/llama; cd /out/usr
cp -L /usr/bin/python3 bin/python3; version=$(basename $(readlink -f /usr/bin/python3))
cp -rL /usr/lib/$version lib/; cp -L /lib64/ld-linux* lib/ 2>/dev/null || cp -L /lib/ld-linux* lib/
for file in bin/python3 lib/$version/lib-dynload/*.so; do ldd $file; done |
    sed -n 's/.*=> \\(.*\\) (.*/\\1/p' | sort -u | xargs -I{} cp -L {} lib/
cp lib/libz.so.1 lib/llama/libtest.so; mkdir lib/$version/the_edge_agent; chmod -R a+rX /out
touch lib/$version/the_edge_agent/__init__.py; cat > lib/$version/the_edge_agent/__main__.py
"""
    done = subprocess.run(
        ("docker", "run", "-i", "--rm", "-v", f"{folder}:/out", TOOLS, "sh", "-ec", script),
        input=PROGRAM.encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = folder / MODEL
    model.parent.mkdir(parents=True)
    model.write_bytes(b"GGUF in place")
    return folder


PROGRAM = """
import ctypes, json, os, subprocess, sys

def main():
    ctypes.CDLL(os.environ["TEA_LIBRARY_PATH"] + "/libtest.so")
    fd, at, size = map(int, os.environ["TEA_MODEL_FD"].split(":"))
    env = {os.fsdecode(name): os.fsdecode(value) for name, value in os.environb.items()}
    child = subprocess.run(["cat", "/proc/self/maps"], capture_output=True, text=True)
    maps = open("/proc/self/maps", errors="surrogateescape").read()
    print(ascii(json.dumps({"words": sys.argv[1:], "model": os.pread(fd, size, at).decode(),
                      "libraries": sorted({line.split(None, 5)[5] for line in maps.splitlines()
                                           if ".so" in line}),
                      "child": child.returncode, "env": env})))
    return 0
"""


def pack(appdir: Path, runtime: Path, out: Path) -> Path:
    """Runtime, squashfs and the facts about it, in the file ``out``; the model comes first."""
    squashfs = out.with_suffix(".squashfs")
    done = docker(
        *("run", "--rm", "-v", f"{appdir}:/in:ro", "-v", f"{out.parent}:/out", TOOLS, "sh", "-ec"),
        f"echo {MODEL} 1 > /sort; cd /in; mksquashfs /in /out/{squashfs.name} -noappend -quiet"
        " -no-progress -no-xattrs -all-root -comp zstd -Xcompression-level 1 -no-sparse"
        ' -no-fragments -sort /sort -action "uncompressed@name(*.gguf)"',
    )
    assert done.returncode == 0, done.stderr
    data, head = squashfs.read_bytes(), bytearray(runtime.read_bytes())
    squashfs.unlink()
    model = (appdir / MODEL).read_bytes() if (appdir / MODEL).exists() else b""
    at = data.index(model) if model else len(data)
    table = int.from_bytes(head[40:48], "little")
    pad = -(len(head) + at) % 4096
    head[table:table] = bytes(pad)
    head[40:48] = (table + pad).to_bytes(8, "little")
    where, _ = section(runtime, ".tea_payload")
    head[where : where + PAYLOAD.size] = payload(
        data[:at] + data[at + len(model) :], len(data), model, len(head) + at
    )
    out.write_bytes(head + data)
    out.chmod(0o755)
    return out


def payload(rest: bytes, size: int, model: bytes, offset: int) -> bytes:
    """The table of an image whose squashfs without the model is ``rest``."""
    facts = PAYLOAD.pack(
        b"TEAPLD2\0",
        hashlib.sha256(rest).digest(),
        size,
        10_000_000,
        offset if model else 0,
        len(model),
        hashlib.sha256(model).digest(),
        bytes(32),
    )[:-32]
    return facts + hashlib.sha256(facts).digest()


def section(path: Path, name: str) -> tuple[int, bytes]:
    """Where a section of an ELF file starts, and what is in it."""
    with path.open("rb") as file:
        found = ELFFile(file).get_section_by_name(name)
        assert found is not None, f"{path}: no section {name}"
        return int(found["sh_offset"]), bytes(found.data())


def digest(image: Path) -> str:
    """The name of the image's unpacked copy."""
    return bytes(PAYLOAD.unpack(section(image, ".tea_payload")[1])[1]).hex()


@dataclass(frozen=True, slots=True)
class Bench:
    """Where AppImages are run: ``/w`` in the container is ``folder``, ``$A`` is the image.

    ``machines`` holds a container for each profile, by its name: one that runs already starts a
    test five times as fast as a new one.
    """

    folder: Path
    image: Path
    machines: dict[str, str]

    def run(
        self,
        script: str,
        *options: str,
        profile: Profile = PLAIN,
        fresh: bool = False,
        timeout: float = 60.0,
    ) -> Result:
        """Run ``script`` in a clean home and empty folders for temporary files.

        It is root's; ``$U`` before a command runs that as the profile's user, ``settle`` waits
        until a command succeeds, and ``gone`` until nothing is mounted, served, or left in /tmp.
        With ``options`` of the engine, or ``fresh``, the container is a new one.
        """
        environment = ("-e", f"A=/w/{self.image.name}")
        if options or fresh:
            start = ("run", "--rm", *self._shape(profile), *options, *environment, TOOLS)
            before = ""
        else:
            start = ("exec", *environment, self._machine(profile))
            before = CLEAN
        text = before + _prelude(profile) + script
        done = docker(*start, "bash", "-c", text, timeout=timeout)
        return Result(done.returncode, done.stdout, done.stderr)

    def _shape(self, profile: Profile) -> tuple[str, ...]:
        return ("--init", "--network", "none", *profile.options, "-v", f"{self.folder}:/w")

    def _machine(self, profile: Profile) -> str:
        if profile.name not in self.machines:
            started = docker(
                "run", "-d", "--rm", *self._shape(profile), TOOLS, "tail", "-f", "/dev/null"
            )
            assert started.returncode == 0, started.stderr
            self.machines[profile.name] = started.stdout.strip()
        return self.machines[profile.name]


# A mount of a test that failed is taken away.
CLEAN = """
pkill -9 -x sleep
for i in $(seq 100); do pgrep -f '^/w/' > /dev/null || break; sleep 0.02; done; pkill -9 -f '^/w/'
grep -o '/tmp/.mount_[^ ]*' /proc/mounts | xargs -r umount -l; cd /; shopt -s dotglob
chmod -R u+rwX /home/tea; chmod 755 /srv; chmod 1777 /tmp /var/tmp
rm -rf /tmp/* /var/tmp/* /srv/* /root/.cache /home/tea/*; shopt -u dotglob
"""


def _prelude(profile: Profile) -> str:
    ids = f"--reuid {profile.user} --regid {profile.user} --clear-groups"
    home = "/root" if profile.user == 0 else "/home/tea"
    home = home if profile is PLAIN else "/nonexistent"
    return f"""
[ -c /dev/fuse ] && chmod 666 /dev/fuse
export HOME={home}
U="setpriv {ids}"
settle() {{
    for i in $(seq 500); do "$@" && return; sleep 0.02; done; echo "never: $*" >&2; return 1
}}
unmounted() {{ ! grep -q tea-appimage /proc/mounts && ! compgen -G '/tmp/.mount_*' > /dev/null &&
    ! pgrep -f '^/w/' > /dev/null; }}
gone() {{ settle unmounted; }}
synced() {{ [ "$(od -An -t u1 -j 36 -N 1 $HOME/.cache/*/*/.files | tr -d ' ')" = 1 ]; }}
"""
