"""Puts the Python AppDir together: interpreter, one archive of modules, libraries, llama.cpp.

Everything is taken from folders that earlier stages left (/debs, /wheels, /llama-wheel, /llama,
/program). Runs in the build container on any architecture; nothing of the target is executed.

Usage: python3 assemble.py --gnu x86_64-linux-gnu --epoch SECONDS OUT
"""

import argparse
import importlib.metadata
import importlib.util
import marshal
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

PROGRAM = Path("/program")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Of the standard library: tests, other programs, and what needs a display or a compiler.
LEFT_OUT_STDLIB = re.compile(
    r"(test|idlelib|lib2to3|tkinter|turtledemo|turtle\.py|ensurepip|venv|pydoc_data|__pycache__"
    r"|config-[^/]*|sitecustomize\.py|_sysconfigdata[^/]*|LICENSE\.txt|_pyrepl|dist-packages"
    r"|curses|dbm|sqlite3|lib-dynload)(/|$)"
)
# Extension modules whose packages are left out above, and those of the interpreter's own tests.
LEFT_OUT_DYNLOAD = re.compile(r"_(test|ctypes_test|curses|dbm|gdbm|sqlite3|tkinter|xx|interp)|xx")
# Of the wheels: command lines of libraries, and accelerators that nothing here calls.
LEFT_OUT_WHEELS = re.compile(
    r"(bin|llguidance|yaml/cyaml\.py|_yaml|httpx/_main\.py|anyio/pytest_plugin\.py|anyio/_backends/_trio\.py"
    r"|httpcore/_backends/trio\.py|certifi/cacert\.pem|[^/]*\.dist-info|__pycache__|.*\.(so|pyi|c|typed))(/|$)"
)
# llama-cpp-python's own chat layer needs numpy; only its declarations are used.
KEPT_OF_LLAMA = ("_ctypes_extensions.py", "llama_cpp.py")
# All that is used of llguidance: its package imports ten modules around it.
LLGUIDANCE = Path("llguidance/_lib.abi3.so")


def module_files(root: Path, left_out: re.Pattern[str]) -> dict[str, Path]:
    """Files below ``root`` by their relative names, without those left out."""
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return {name: path for name, path in files.items() if not left_out.match(name)}


def byte_code(source: Path, name: str) -> bytes:
    """The content of a .pyc that is never checked against its source: the image is read-only."""
    code = compile(source.read_bytes(), name, "exec", dont_inherit=True, optimize=0)
    data = bytearray(importlib.util.MAGIC_NUMBER)
    data += (0b01).to_bytes(4, "little")  # hash-based, unchecked
    data += importlib.util.source_hash(source.read_bytes())
    return bytes(data + marshal.dumps(code))


def write_archive(out: Path, files: dict[str, Path], epoch: int) -> None:
    """All modules in one stored zip: one file to open, no folder scans through FUSE.

    The program's own come last: what stands before them is the same from version to version, so
    that an update need not transfer it.
    """
    moment = time.gmtime(max(epoch, 315532800))[:6]  # zip begins in 1980
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        order = sorted(files.items(), key=lambda file: (file[1].is_relative_to(PROGRAM), file[0]))
        for name, path in order:
            is_source = name.endswith(".py")
            entry = zipfile.ZipInfo(name + "c" if is_source else name, moment)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, byte_code(path, name) if is_source else path.read_bytes())


def needed(path: Path) -> list[str]:
    """DT_NEEDED of an ELF file."""
    with path.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".dynamic")
        return [tag.needed for tag in section.iter_tags("DT_NEEDED")] if section else []


def copy_libraries(roots: list[Path], sources: list[Path], out: Path) -> None:
    """Copy the libraries that ``roots`` need, and those that these need, into ``out``."""
    waiting = [name for root in roots for name in needed(root)]
    present = {path.name for path in roots}
    while waiting:
        name = waiting.pop()
        if name in present:
            continue
        found = next((folder / name for folder in sources if (folder / name).exists()), None)
        if found is None:
            sys.exit(f"assemble: no package in debs.txt has {name}")
        present.add(name)
        shutil.copy2(found.resolve(), out / name)
        waiting += needed(found)


def install_python(debs: Path, gnu: str, out: Path, epoch: int) -> list[Path]:
    """Interpreter, archive and extension modules; returns the ELF files."""
    stdlib = debs / "usr/lib" / PYTHON
    if not stdlib.is_dir():
        sys.exit(f"assemble: debs.txt has no {PYTHON}, which makes the byte code: it would not fit")
    files = module_files(stdlib, LEFT_OUT_STDLIB)
    files |= module_files(Path("/wheels"), LEFT_OUT_WHEELS)
    files |= {f"llama_cpp/{name}": Path("/llama-wheel/llama_cpp") / name for name in KEPT_OF_LLAMA}
    files |= module_files(PROGRAM, re.compile(r".*(__pycache__|\.egg-info)"))
    # In place of an __init__ that imports numpy; an archive cannot hold a package without one.
    files["llama_cpp/__init__.py"] = Path("/dev/null")
    write_archive(out / f"usr/lib/{PYTHON.replace('.', '')}.zip", files, epoch)

    # The interpreter finds its home by these two names.
    home = out / "usr/lib" / PYTHON
    (home / "lib-dynload").mkdir(parents=True)
    (home / "os.pyc").write_bytes(byte_code(stdlib / "os.py", "os.py"))
    # Certificates are read by OpenSSL, which wants a file.
    shutil.copy(Path("/wheels/certifi/cacert.pem"), out / "usr/share/tea/cacert.pem")

    interpreter = out / "usr/bin/python3"
    shutil.copy2(debs / "usr/bin" / PYTHON, interpreter)
    modules = [
        Path(shutil.copy2(path, home / "lib-dynload"))
        for path in sorted((stdlib / "lib-dynload").glob("*.so"))
        if not LEFT_OUT_DYNLOAD.match(path.name)
    ]
    (home / "lib-dynload" / LLGUIDANCE.parent).mkdir()
    modules.append(Path(shutil.copy2("/wheels" / LLGUIDANCE, home / "lib-dynload" / LLGUIDANCE)))
    return [interpreter, *modules]


def install_licenses(debs: Path, out: Path) -> None:
    """Copyright files of everything that is in the tree."""
    for path in sorted((debs / "usr/share/doc").glob("*/copyright")):
        shutil.copy(path.resolve(), out / f"debian-{path.parent.name}")
    for path in sorted(Path("/llama/licenses").iterdir()):
        shutil.copy(path, out / path.name)
    for folder in (Path("/wheels"), Path("/llama-wheel")):
        for path in sorted(folder.glob("*.dist-info/**/LICENSE*")):
            package = path.relative_to(folder).parts[0].removesuffix(".dist-info")
            shutil.copy(path, out / f"python-{package}-{path.name}")


def list_packages(out: Path) -> None:
    """Name, version and licence of every Python package in the archive, one a line.

    The licence is an SPDX expression or whatever words the package's metadata has, else empty.
    """
    lines = []
    for folder in (Path("/wheels"), Path("/llama-wheel")):
        for found in importlib.metadata.distributions(path=[str(folder)]):
            facts = found.metadata
            licence = facts.get("License-Expression") or facts.get("License") or ""
            if not licence or "\n" in licence.strip():
                named = [text for text in facts.get_all("Classifier", []) if "License ::" in text]
                licence = named[0].rpartition(" :: ")[2] if named else ""
            name = re.sub(r"[-_.]+", "-", found.name).lower()
            lines.append(f"{name} {found.version} {licence.strip()}".rstrip() + "\n")
    out.write_text("".join(sorted(lines)), encoding="utf-8")


def main() -> None:
    """Make the tree."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gnu", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    out, gnu = arguments.out, arguments.gnu
    for folder in ("usr/bin", "usr/lib/llama", "usr/share/tea", "usr/share/licenses"):
        (out / folder).mkdir(parents=True)
    debs = Path("/debs/root")

    binaries = install_python(debs, gnu, out, arguments.epoch)
    for path in sorted(Path("/llama/lib").iterdir()):
        binaries.append(Path(shutil.copy2(path, out / "usr/lib/llama")))
    copy_libraries(
        binaries, [debs / "usr/lib" / gnu, debs / "lib" / gnu, debs / "usr/lib64"], out / "usr/lib"
    )
    loader = next(path.name for path in (out / "usr/lib").glob("ld-linux-*"))
    (out / "usr/lib" / loader).chmod(0o755)
    install_licenses(debs, out / "usr/share/licenses")
    shutil.copy("/debs/versions.txt", out / "usr/share/tea/debian-packages.txt")
    list_packages(out / "usr/share/tea/python-packages.txt")


if __name__ == "__main__":
    main()
