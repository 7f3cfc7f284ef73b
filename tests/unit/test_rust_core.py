"""The Rust engine touches no file, clock, network or process: what it runs in gives it those."""

from __future__ import annotations

import re

import pytest

from tasks.base.paths import ROOT

SOURCES = sorted((ROOT / "rust/tea-core/src").rglob("*.rs"))
# Modules of the standard library that reach outside, also within braces (`use std::{fs, fmt}`),
# and the macros that print. `Duration` is a number, not a clock.
REACHES = re.compile(
    r"\b(?:std|core|alloc)::(?:\{[^;]*\b)?(?:env|fs|io|net|os|process|thread)\b"
    r"|\b(?:Instant|SystemTime)\b"
    r"|\b(?:dbg|e?println?)!"
    r"|\bextern\s+\"C\""
)


def reaching(source: str) -> list[str]:
    """What in ``source`` reaches outside; comments aside."""
    code = re.sub(r"//[^\n]*", "", source)
    return [found[0] for found in REACHES.finditer(code)]


def test_the_rust_engine_reaches_nothing_outside_itself() -> None:
    assert len(SOURCES) > 30
    found = {str(path.relative_to(ROOT)): reaching(path.read_text()) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line",
    [
        "let text = std::fs::read_to_string(path)?;",
        "use std::{collections::HashMap, env};",
        "use std::io::Write as _;",
        "let now = Instant::now();",
        'println!("done");',
        "std::thread::sleep(wait);",
    ],
)
def test_a_line_that_reaches_outside_is_seen(line: str) -> None:
    assert reaching(line) != []


@pytest.mark.parametrize(
    "line", ["use std::time::Duration;", "use std::fmt;  // not std::fs", 'writeln!(out, "x")']
)
def test_a_line_that_stays_inside_is_not(line: str) -> None:
    assert reaching(line) == []
