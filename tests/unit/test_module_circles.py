"""No module of an engine uses, by whatever way round, a module that uses it.

Of the browser package Biome's noImportCycles says the same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tasks.base.paths import ROOT

PACKAGE = "the_edge_agent"
CRATES = ("tea-core", "tea-cli", "tea-wasm", "engine-host")
_COMMENT = re.compile(r"//[^\n]*")
_TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+ \{.*", re.MULTILINE | re.DOTALL)
_USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)
_PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")

Module = tuple[str, ...]


def circle(uses: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle, or none."""
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def python_uses(package: str) -> dict[str, set[str]]:
    """The modules of ``package``, each with those that it imports, also within functions."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def test_the_python_engine_has_no_circle_of_modules() -> None:
    uses = python_uses(PACKAGE)
    assert len(uses) > 60
    assert circle(uses) == []


def test_a_circle_of_python_modules_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "circled"
    package.mkdir()
    (package / "__init__.py").write_text("def f():\n    from circled import a\n")
    (package / "a.py").write_text("from circled.b import x\n")
    (package / "b.py").write_text("import circled\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert set(circle(python_uses("circled"))) == {"circled", "circled.a", "circled.b"}


def used_paths(tree: str) -> Iterator[str]:
    """The paths of one ``use``, whose braces may lie within each other."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield head.split(" as ")[0].strip()
        return
    depth, part = 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            if part.strip():
                yield from (head.strip() + each for each in used_paths(part))
            part = ""
        else:
            part += letter


def rust_uses(folder: Path) -> dict[str, set[str]]:
    """The modules of a crate, each with those that it uses; ``mod`` alone is no use."""
    texts: dict[Module, str] = {}
    for path in folder.rglob("*.rs"):
        parts = path.relative_to(folder).with_suffix("").parts
        module = parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts
        texts[module] = _TESTS.sub("", _COMMENT.sub("", path.read_text(encoding="utf-8")))

    def target(module: Module, path: str) -> Module | None:
        words = path.split("::")
        found: Module
        if words[0] == "crate":
            found = tuple(words[1:])
        elif words[0] in ("self", "super"):
            count = words.count("super")
            found = (*module[: len(module) - count], *(word for word in words if word != "super"))
            found = tuple(word for word in found if word != "self")
        elif (*module, words[0]) in texts:
            found = (*module, *words)
        else:
            return None  # another crate
        while found not in texts:
            found = found[:-1]
        return found if found != module else None

    uses: dict[str, set[str]] = {}
    for module, text in texts.items():
        paths = [path for tree in _USE.findall(text) for path in used_paths(tree)]
        paths += _PATH.findall(_USE.sub("", text))
        targets = (target(module, path) for path in paths)
        uses["::".join(("crate", *module))] = {
            "::".join(("crate", *each)) for each in targets if each is not None
        }
    return uses


@pytest.mark.parametrize("crate", CRATES)
def test_the_rust_engine_has_no_circle_of_modules(crate: str) -> None:
    uses = rust_uses(ROOT / "rust" / crate / "src")
    assert sum(map(len, uses.values())) >= len(uses) - 1
    assert circle(uses) == []


CIRCLES = {
    "siblings": ("use super::b::{self, c::D};", "use crate::a::x;", {"crate::a", "crate::b"}),
    "parent": ("use super::Scope;", "", {"crate", "crate::a"}),
    "path": ("fn f() { crate::b::g() }", "pub use super::a::f;", {"crate::a", "crate::b"}),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_of_rust_modules_is_found(name: str, tmp_path: Path) -> None:
    a, b, modules = CIRCLES[name]
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\npub use a::f;\npub struct Scope;\n")
    (tmp_path / "a.rs").write_text(a)
    (tmp_path / "b.rs").write_text(b)
    assert set(circle(rust_uses(tmp_path))) == modules


def test_a_use_in_tests_and_comments_makes_no_circle(tmp_path: Path) -> None:
    tests = "#[cfg(test)]\nmod tests {\n    use crate::b::g;\n}\n"
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\n")
    (tmp_path / "a.rs").write_text(f"// use crate::b::g;\n{tests}")
    (tmp_path / "b.rs").write_text("use crate::a::f;\n")
    assert circle(rust_uses(tmp_path)) == []
