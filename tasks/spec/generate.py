"""What is generated from spec/: written by `nox -s generate`, compared by `nox -s lint`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.base import console, files
from tasks.base.errors import TaskError
from tasks.base.paths import ROOT
from tasks.spec import documents, python, rust, schema, typescript
from tasks.spec.table import Table, read

DOCUMENTS = ("docs/format.md", "docs/cli.md")


def generated(table: Table, root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Each generated file with its text; of a document its tables alone are."""
    yield root / "python/src/the_edge_agent/spec.py", f"# {schema.MARK}\n{python.write(table)}"
    yield root / "rust/tea-core/src/spec.rs", f"// {schema.MARK}\n{rust.write(table)}"
    yield root / "web/ts/spec.ts", f"// {schema.MARK}\n{typescript.write(table)}"
    yield root / "workflow.schema.json", schema.write(table)
    for name in DOCUMENTS:
        path = root / name
        yield path, documents.fill(name, path.read_text(encoding="utf-8"), table)


def write() -> None:
    """Write what is not as the table gives it."""
    for path, text in _drifted(ROOT):
        files.write_text(path, text)
        console.note(f"{path.relative_to(ROOT)}: written")


def check(root: Path = ROOT) -> None:
    """Compare the generated files with the table.

    Raises:
        TaskError: one of them was edited, or the table was and they were not written anew.
    """
    names = [str(path.relative_to(root)) for path, _ in _drifted(root)]
    if names:
        raise TaskError(
            f"not what spec/ gives: {', '.join(names)}",
            hint="edit the table in spec/, then run: nox -s generate",
        )


def _drifted(root: Path) -> Iterator[tuple[Path, str]]:
    for path, text in generated(read(), root):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text
