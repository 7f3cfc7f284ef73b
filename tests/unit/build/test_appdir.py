from __future__ import annotations

import configparser
import dataclasses
import json
import os
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base.errors import BuildError
from tasks.build import appdir
from tasks.catalog import Model
from tests.support.elf import AARCH64, RISCV, Elf

TARGET = catalog.target("x86_64")
LOADER = TARGET.loader


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What an implementation's build leaves: a program, a library, a loader."""
    root = tmp_path / "tree"
    for folder in ("usr/bin", "usr/lib"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/tea").write_bytes(bytes(Elf(needed=("libtea.so.1", "libc.so.6"))))
    (root / "usr/lib/libtea.so.1").write_bytes(bytes(Elf(needed=("libc.so.6",))))
    (root / "usr/lib/libc.so.6").write_bytes(bytes(Elf(needed=(LOADER,))))
    (root / "usr/lib" / LOADER).write_bytes(bytes(Elf()))
    (root / "usr/lib/notes.txt").write_text("no ELF file\n")
    (root / "usr/lib/libtea.so").symlink_to("libtea.so.1")
    return root


# -- what every bundle has


def test_finished_tree_has_what_appimage_tools_look_for(tree: Path) -> None:
    appdir.finish(tree)
    assert os.access(tree / "AppRun", os.X_OK)
    assert (tree / ".DirIcon").read_bytes() == (tree / "tea.svg").read_bytes()
    assert [path.name for path in tree.glob("*.desktop")] == ["tea.desktop"]
    share = tree / "usr/share"
    names = sorted(path.name for path in (share / "metainfo").iterdir())
    assert names == [f"{appdir.APP_ID}.appdata.xml", f"{appdir.APP_ID}.metainfo.xml"]
    assert (share / f"applications/{appdir.APP_ID}.desktop").is_file()
    assert (share / "icons/hicolor/scalable/apps/tea.svg").is_file()


def test_links_of_the_tree_lead_into_the_layer_and_nowhere_else(
    tree: Path, small: Model, tmp_path: Path
) -> None:
    appdir.finish(tree)
    appdir.write_layer(tree, small, small.file)
    links = {
        str(path.relative_to(tree)): path.resolve() for path in tree.rglob("*") if path.is_symlink()
    }
    layer = tree.resolve() / appdir.LAYER
    assert links["usr/share/models"] == layer / "models"
    assert links["usr/share/tea/bundle.json"] == layer / "bundle.json"
    assert links["usr/share/licenses/model"] == layer / "licenses"
    assert all(tree.resolve() in target.parents and target.exists() for target in links.values())


def test_desktop_file_and_metadata_name_each_other(tree: Path) -> None:
    appdir.finish(tree)
    desktop = configparser.ConfigParser(interpolation=None)
    desktop.optionxform = str  # type: ignore[assignment,method-assign]
    desktop.read(tree / "tea.desktop")
    entry = desktop["Desktop Entry"]
    assert (tree / f"{entry['Icon']}.svg").is_file()
    component = ET.parse(tree / f"usr/share/metainfo/{appdir.APP_ID}.metainfo.xml").getroot()
    assert component.findtext("id") == appdir.APP_ID
    assert component.findtext("launchable") == f"{appdir.APP_ID}.desktop"
    assert component.findtext("provides/binary") == entry["Exec"]
    assert component.findtext("name") == entry["Name"]


# -- the model's layer


@pytest.fixture
def small() -> Model:
    return catalog.model("smollm2-135m")


def test_layer_has_a_place_for_the_model_and_its_licences(tmp_path: Path, small: Model) -> None:
    appdir.write_layer(tmp_path, small, small.file)
    layer = tmp_path / appdir.LAYER
    assert [(path.name, path.stat().st_size) for path in (layer / "models").iterdir()] == [
        (small.file, 0)
    ]
    copied = {path.name: path.read_bytes() for path in (layer / "licenses").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in small.license_files}
    assert copied


def test_layer_says_what_the_program_needs_to_know_of_the_model(
    tmp_path: Path, small: Model
) -> None:
    appdir.write_layer(tmp_path, small, small.file)
    facts = json.loads((tmp_path / appdir.LAYER / "bundle.json").read_text())
    assert facts == {
        "id": "smollm2-135m",
        "title": small.title,
        "model": small.file,
        "n_ctx": 8192,
        "license": "Apache-2.0",
        "license_url": small.license_url,
        "chat_system": small.chat_system,
    }


def test_layer_carries_the_chat_template_that_the_row_names(tmp_path: Path) -> None:
    model = catalog.model("gemma3-270m")
    appdir.write_layer(tmp_path, model, model.file)
    facts = json.loads((tmp_path / appdir.LAYER / "bundle.json").read_text())
    assert model.chat_template is not None
    assert facts["chat_template"] == model.chat_template.read_text()


def test_layer_carries_what_must_be_said_of_the_runtime(
    tree: Path, tmp_path: Path, small: Model
) -> None:
    notices = tmp_path / "notices"
    notices.mkdir()
    (notices / "packages.txt").write_text("libfuse3-dev 3.17 fuse3 3.17\n")
    (notices / "debian-libfuse3-dev").write_text("LGPL")
    appdir.finish(tree)
    appdir.write_layer(tree, small, notices=notices)
    seen = {path.name: path.read_text() for path in (tree / "usr/share/licenses/runtime").iterdir()}
    assert seen == {path.name: path.read_text() for path in notices.iterdir()}


def test_layer_without_a_model_says_nothing_of_one(tree: Path, tmp_path: Path) -> None:
    appdir.finish(tree)
    appdir.write_layer(tree, None)
    layer = tree / appdir.LAYER
    assert json.loads((layer / "bundle.json").read_text()) == {}
    assert [path.name for path in layer.rglob("*") if path.is_file()] == ["bundle.json"]
    for path in tree.rglob("*"):
        assert path.exists(), f"{path} leads to nothing"


def test_layer_of_the_same_model_has_the_same_bytes(tmp_path: Path, small: Model) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        appdir.write_layer(folder, dataclasses.replace(small), small.file)
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in folders
    ]
    assert contents[0] == contents[1]


# -- the check before packing


def test_tree_that_fits_its_target_passes(tree: Path) -> None:
    assert appdir.check(tree, TARGET) == 4


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda tree: (tree / name).write_bytes(content)


def isa_needed(bits: int) -> dict[str, bytes]:
    """The note by which an x86_64 file says what it needs: 1 is the baseline, 4 is v3."""
    content = struct.pack("<IIII", 0xC0008002, 4, bits, 0)
    return {".note.gnu.property": struct.pack("<III4s", 4, len(content), 5, b"GNU\0") + content}


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another architecture": (
        write("usr/lib/libtea.so.1", bytes(Elf(machine=AARCH64))),
        "usr/lib/libtea.so.1: is for EM_AARCH64, not EM_X86_64",
    ),
    "an architecture that no table has": (
        write("usr/bin/tea", bytes(Elf(machine=RISCV))),
        "usr/bin/tea: is for EM_RISCV, not EM_X86_64",
    ),
    "a library that is not there": (
        lambda tree: (tree / "usr/lib/libc.so.6").unlink(),
        "usr/bin/tea: needs libc.so.6, which is not in the AppDir",
    ),
    "a RUNPATH": (
        write("usr/bin/tea", bytes(Elf(runpath="/build/lib"))),
        "usr/bin/tea: has the search path '/build/lib'",
    ),
    "an RPATH": (
        write("usr/bin/tea", bytes(Elf(rpath="$ORIGIN"))),
        "usr/bin/tea: has the search path '$ORIGIN'",
    ),
    "an executable stack": (
        write("usr/bin/tea", bytes(Elf(stack=7))),
        "usr/bin/tea: asks for an executable stack",
    ),
    "a stack of unknown kind, which is an executable one": (
        write("usr/bin/tea", bytes(Elf(stack=None))),
        "usr/bin/tea: asks for an executable stack",
    ),
    "a level that old CPUs lack": (
        write("usr/lib/libtea.so.1", bytes(Elf(sections=isa_needed(1 | 4)))),
        "usr/lib/libtea.so.1: needs x86-64-v3, which not every x86_64 CPU has",
    ),
    "an ELF file cut short": (
        write("usr/bin/tea", bytes(Elf())[:70]),
        "usr/bin/tea: is damaged",
    ),
    "an ELF file of four bytes": (
        write("usr/bin/tea", b"\x7fELF"),
        "usr/bin/tea: is damaged",
    ),
    "a section table beyond all bounds": (
        write("usr/bin/tea", bytes(Elf())[:40] + b"\xff" * 8 + bytes(Elf())[48:]),
        "usr/bin/tea: is damaged",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_tree_is_refused_for(fault: str, tree: Path) -> None:
    spoil, message = FAULTS[fault]
    spoil(tree)
    with pytest.raises(BuildError) as caught:
        appdir.check(tree, TARGET)
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 20


def test_tree_without_a_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("nothing else\n")
    with pytest.raises(BuildError, match="no program in it"):
        appdir.check(tmp_path, TARGET)


def test_file_that_says_it_needs_the_baseline_passes(tree: Path) -> None:
    (tree / "usr/bin/tea").write_bytes(bytes(Elf(sections=isa_needed(1))))
    assert appdir.check(tree, TARGET) == 4


def test_cpu_backend_may_need_what_not_every_cpu_has(tree: Path) -> None:
    (tree / appdir.LLAMA).mkdir()
    backend = tree / appdir.LLAMA / "libggml-cpu-haswell.so"
    backend.write_bytes(bytes(Elf(sections=isa_needed(4))))
    assert appdir.check(tree, TARGET) == 5
    backend.rename(backend.with_name("libggml-base.so.0"))
    with pytest.raises(BuildError, match=r"libggml-base\.so\.0: needs x86-64-v3"):
        appdir.check(tree, TARGET)


# Words as the assembler writes them, and the extension of Armv8.0 that each is of.
ARM = {
    "add x0, x1, x2": (0x8B020020, ""),
    "fmla v0.4s, v1.4s, v2.4s": (0x4E22CC20, ""),
    "mul v0.4s, v1.4s, v2.s[1]": (0x4FA28020, ""),
    "sdot v0.4s, v1.16b, v2.16b": (0x4E829420, "dot product"),
    "udot v0.2s, v1.8b, v2.8b": (0x2E829420, "dot product"),
    "sdot v0.4s, v1.16b, v2.4b[1]": (0x4FA2E020, "dot product"),
    "fadd v0.8h, v1.8h, v2.8h": (0x4E421420, "half precision"),
    "add z0.s, z1.s, z2.s": (0x04A20020, "SVE"),
    "ptrue p0.s": (0x2598E3E0, "SVE"),
    "fmopa za0.s, p0/m, p1/m, z0.s, z1.s": (0x80812000, "SME"),
}


@pytest.mark.parametrize("instruction", ARM)
def test_code_for_some_aarch64_cpus_alone_is_refused(instruction: str, tmp_path: Path) -> None:
    word, extension = ARM[instruction]
    ret = struct.pack("<I", 0xD65F03C0)
    code = {".text": ret * 3 + struct.pack("<I", word) + ret}
    folder = tmp_path / appdir.LLAMA
    folder.mkdir(parents=True)
    (folder / "libllama.so.0").write_bytes(bytes(Elf(machine=AARCH64, sections=code)))
    # Debian's own libraries choose at run time.
    (folder.parent / "libc.so.6").write_bytes(bytes(Elf(machine=AARCH64, sections=code)))
    target = catalog.target("aarch64")
    if not extension:
        assert appdir.check(tmp_path, target) == 2
        return
    with pytest.raises(BuildError, match=f"libllama.so.0: uses {extension} instructions"):
        appdir.check(tmp_path, target)
