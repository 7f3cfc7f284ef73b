"""The AppDir: finished with what is the same in every bundle, and checked before it is packed.

    AppRun, tea.desktop, tea.svg, .DirIcon     from appdir/
    usr/bin, usr/lib, usr/lib/llama            the program, its libc and loader, llama.cpp
    usr/share/models           -> bundle/models       the model
    usr/share/tea/bundle.json  -> bundle/bundle.json  what the bundle says of its model
    usr/share/licenses/model   -> bundle/licenses     the terms that travel with it
    usr/share/licenses/runtime -> bundle/notices      of what became part of the runtime

``bundle/`` is a layer of its own, so that a model can be added without packing the program again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from tasks.base import elf
from tasks.base.elf import NotElf
from tasks.base.errors import BuildError
from tasks.base.paths import ROOT
from tasks.build import isa_check
from tasks.catalog import Model, Target

SOURCE = ROOT / "appdir"
APP_ID = "io.github.tea_bundles.tea"
LAYER = "bundle"
LLAMA = "usr/lib/llama"
CPU_BACKENDS = "libggml-cpu-"  # loaded only where the CPU has what they need

_LINKS = {
    "usr/share/models": f"../../{LAYER}/models",
    "usr/share/tea/bundle.json": f"../../../{LAYER}/bundle.json",
    "usr/share/licenses/model": f"../../../{LAYER}/licenses",
    "usr/share/licenses/runtime": f"../../../{LAYER}/notices",
}


def finish(tree: Path) -> None:
    """Add to a program's ``tree`` what every bundle has: start script, desktop file, links."""
    for name in ("AppRun", "tea.desktop", "tea.svg"):
        shutil.copy(SOURCE / name, tree / name)
    (tree / ".DirIcon").symlink_to("tea.svg")
    share = tree / "usr/share"
    for folder in ("applications", "icons/hicolor/scalable/apps", "metainfo", "tea", "licenses"):
        (share / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(SOURCE / "tea.desktop", share / "applications" / f"{APP_ID}.desktop")
    shutil.copy(SOURCE / "tea.svg", share / "icons/hicolor/scalable/apps/tea.svg")
    # AppStream and the AppImage tools want the same file under different names.
    for suffix in ("metainfo", "appdata"):
        name = f"{APP_ID}.{suffix}.xml"
        shutil.copy(SOURCE / f"{APP_ID}.metainfo.xml", share / "metainfo" / name)
    for link, to in _LINKS.items():
        (tree / link).symlink_to(to)


def write_layer(
    folder: Path,
    model: Model | None,
    file: str = "",
    notices: Path | None = None,
    sha256: str | None = None,
) -> None:
    """Make ``folder``/bundle: all of the layer but the model, whose place is an empty file.

    ``file`` is the model's name there, if not its row's; ``sha256`` its digest. ``notices`` is the
    folder of what must be said of the runtime's parts. A bundle without a model, or with another
    runtime, has the same folders, with nothing in them.
    """
    layer = folder / LAYER
    (layer / "models").mkdir(parents=True)
    (layer / "licenses").mkdir()
    (layer / "notices").mkdir()
    for path in sorted(notices.iterdir()) if notices else ():
        shutil.copy(path, layer / "notices" / path.name)
    facts: dict[str, object] = {}
    if model is not None:
        (layer / "models" / (file or model.file)).touch()
        for path in model.license_files:
            shutil.copy(path, layer / "licenses" / path.name)
        template = model.chat_template
        facts = {
            "id": model.id,
            "title": model.title,
            "model": file or model.file,
            "sha256": sha256,
            "n_ctx": model.context,
            "license": model.license,
            "license_url": model.license_url,
            "chat_system": model.chat_system,
            "chat_template": template and template.read_text(encoding="utf-8"),
        }
    text = json.dumps({key: value for key, value in facts.items() if value is not None}, indent=2)
    (layer / "bundle.json").write_text(text + "\n", encoding="utf-8")


def check(tree: Path, target: Target) -> int:
    """Refuse a tree that would not run on ``target``; returns the number of ELF files in it.

    Every ELF file is of the target's architecture, needs only libraries that are in the tree, has
    no search path of its own and no executable stack. None but the CPU backends asks for more than
    every CPU of the architecture has.

    Raises:
        BuildError: one file and what is wrong with it; or no ELF file at all.
    """
    files = list(_elf_files(tree))
    if not files:
        raise BuildError(f"{tree}: no program in it", hint="remove the build folder, build again")
    present = {path.name for path in files}
    for path in files:
        wrong = _fault(path, target, present)
        if wrong:
            raise BuildError(f"{path.relative_to(tree)}: {wrong}")
    return len(files)


def _elf_files(tree: Path) -> Iterator[Path]:
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def _fault(path: Path, target: Target, present: set[str]) -> str:
    """What is wrong with one ELF file, or nothing."""
    try:
        with elf.reading(path) as image:
            if image["e_machine"] != target.elf:
                return f"is for {image['e_machine']}, not {target.elf}"
            # Without the segment the kernel takes the old default, an executable stack.
            stack = next(image.iter_segments("PT_GNU_STACK"), None)
            if stack is None or stack["p_flags"] & 1:
                return "asks for an executable stack"
            wrong = _linked_wrongly(image, present)
            if not wrong and not path.name.startswith(CPU_BACKENDS):
                wrong = _beyond_baseline(image, path.parent.match(LLAMA))
            return wrong
    except NotElf as error:
        return f"is damaged: {error}"


def _linked_wrongly(image: ELFFile, present: set[str]) -> str:
    for kind, text in _dynamic(image):
        if kind in ("DT_RPATH", "DT_RUNPATH"):
            return f"has the search path {text!r}"
        if kind == "DT_NEEDED" and text not in present:
            return f"needs {text}, which is not in the AppDir"
    return ""


def _beyond_baseline(image: ELFFile, compiled_here: bool) -> str:
    """Which instructions that not every CPU has the file asks for, as far as it shows."""
    level = isa_check.level_needed(image)
    if level:
        return f"needs {level}, which not every x86_64 CPU has"
    # Debian's libraries have such code, too, and ask the CPU before they run it.
    if compiled_here and image["e_machine"] == "EM_AARCH64":
        extension = isa_check.extension_used(image)
        if extension:
            return f"uses {extension} instructions, which not every aarch64 CPU has"
    return ""


def _dynamic(image: ELFFile) -> Iterator[tuple[str, str]]:
    """The dynamic section's entries that are texts: kind and text."""
    attributes = {"DT_NEEDED": "needed", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
    section = image.get_section_by_name(".dynamic")
    if isinstance(section, DynamicSection):
        for tag in section.iter_tags():
            kind = str(tag.entry.d_tag)
            if kind in attributes:
                yield kind, str(getattr(tag, attributes[kind]))
