"""The name of a test fits on a line of a report: under 60 characters."""

from __future__ import annotations

import re

import pytest

from tasks.base.paths import ROOT

PYTHON = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
TYPESCRIPT = re.compile(
    r"^ *(?:test\b.*?|\][^\n]*)\(['\"`](.+?)['\"`], (?:async )?\(", re.MULTILINE
)
RUST = re.compile(r"#\[test\]\s*(?:#\[[^\]]*\]\s*)*fn (\w+)")
LIMIT = 60


def long_names(source: str, names: re.Pattern[str]) -> list[str]:
    """The names of tests in ``source`` that are too long."""
    return [name for name in names.findall(source) if len(name) >= LIMIT]


@pytest.mark.parametrize(
    ("folder", "ending", "names"),
    [("tests", "py", PYTHON), ("rust", "rs", RUST), ("web/tests", "ts", TYPESCRIPT)],
)
def test_names_of_tests_are_short(folder: str, ending: str, names: re.Pattern[str]) -> None:
    sources = [path for path in (ROOT / folder).rglob(f"*.{ending}") if "target" not in path.parts]
    assert any(names.search(path.read_text()) for path in sources)
    long = {
        str(path.relative_to(ROOT)): found
        for path in sources
        if (found := long_names(path.read_text(), names))
    }
    assert long == {}


def test_a_long_name_is_seen() -> None:
    name = f"test_{'x' * 55}"
    assert long_names(f"def {name}() -> None:", PYTHON) == [name]
    assert long_names(f"#[test]\n#[ignore]\nfn {name}() {{", RUST) == [name]
    for call in ("test", "  test.skipIf(x)", "  test.each([1, 2])", "  ])"):
        assert long_names(f"{call}('{name}', async () => {{", TYPESCRIPT) == [name]
    assert long_names(f"def {name[:-1]}() -> None:", PYTHON) == []
