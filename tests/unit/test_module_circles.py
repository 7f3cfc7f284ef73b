"""No module of the Python engine uses, by whatever way round, a module that uses it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGE = "the_edge_agent"


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
