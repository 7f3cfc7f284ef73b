"""A benchmark's rows: two sides, how they compare, and whether that meets the goal."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.base import console
from tasks.base.files import write_text

Unit = Literal["s", "tokens/s", "MB"]
Verdict = Literal["met", "missed", "for information"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one side: the median of ``runs`` samples, all of which may be given.

    ``processor``: of a time, the median of the seconds on all cores, which other programs on the
    machine change less.
    """

    what: str
    median: float
    runs: int
    samples: tuple[float, ...] = ()
    processor: float | None = None

    @classmethod
    def of(
        cls, what: str, samples: Sequence[float], processor: Sequence[float] | None = None
    ) -> Figure:
        """From at least one sample."""
        seconds = statistics.median(processor) if processor else None
        return cls(what, statistics.median(samples), len(samples), tuple(samples), seconds)


@dataclass(frozen=True, slots=True)
class Goal:
    """The bound that a row's value must keep."""

    limit: float
    at_most: bool = True

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"

    def met_by(self, value: float) -> bool:
        """Whether ``value`` keeps it."""
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True, slots=True)
class BenchRow:
    """``ours`` against ``peer``: their ratio, or their difference in ``unit``.

    Without a peer the value is ours alone; without a goal the row is for information.
    """

    name: str
    unit: Unit
    ours: Figure
    peer: Figure | None
    goal: Goal | None
    difference: bool = False
    impl: str = ""  # the program measured; "" where both have it in common
    model: str = ""  # whose bundle it is of; "" where that makes no difference

    @property
    def value(self) -> float:
        """The number that the goal is about."""
        if self.peer is None:
            return self.ours.median
        if self.difference:
            return self.ours.median - self.peer.median
        return self.ours.median / self.peer.median

    @property
    def processor(self) -> float | None:
        """The same of the time on all cores, where it was measured of both."""
        if self.peer is None or self.ours.processor is None or self.peer.processor is None:
            return None
        if self.difference:
            return self.ours.processor - self.peer.processor
        return self.ours.processor / self.peer.processor

    @property
    def verdict(self) -> Verdict:
        """What came of the goal."""
        if self.goal is None:
            return "for information"
        return "met" if self.goal.met_by(self.value) else "missed"

    def cells(self) -> tuple[str, ...]:
        """The row as the table prints it."""
        in_unit = self.difference or self.peer is None
        return (
            self.name,
            self.impl,
            self.model,
            _figure(self.ours, self.unit),
            _figure(self.peer, self.unit) if self.peer else "",
            f"{self.value:.3f} {self.unit}" if in_unit else f"{self.value:.3f}",
            "" if self.processor is None else f"{self.processor:.3f}",
            str(self.goal) if self.goal else "",
            self.verdict,
            str(self.ours.runs),
        )

    def facts(self) -> dict[str, Any]:
        """The row for JSON."""
        return {
            **asdict(self),
            "compare": "difference" if self.difference else "ratio" if self.peer else "value",
            "value": self.value,
            "processor": self.processor,
            "verdict": self.verdict,
        }


COLUMNS = (
    *("row", "program", "model", "measured", "against", "value", "processor time"),
    *("goal", "verdict", "runs"),
)


def _figure(figure: Figure, unit: str) -> str:
    return f"{figure.what}: {figure.median:.3f} {unit}"


def largest_files(tree: Path, count: int = 10) -> list[tuple[str, int]]:
    """The ``count`` largest files of ``tree`` with their sizes in bytes, largest first."""
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    sizes = [(str(path.relative_to(tree)), path.stat().st_size) for path in files]
    return sorted(sizes, key=lambda item: (-item[1], item[0]))[:count]


Files = Mapping[str, Sequence[tuple[str, int]]]  # by program


def show(rows: Sequence[BenchRow], files: Files) -> None:
    """Print the table, and a table of sizes for each program."""
    console.table("Medians, and how they compare", COLUMNS, [row.cells() for row in rows])
    for impl, sizes in files.items():
        cells = [(name, f"{size / 1e6:.2f}") for name, size in sizes]
        title = f"The largest files of the {impl} AppDir, unpacked"
        console.table(title, ("file", "MB"), cells)


def write(path: Path, rows: Sequence[BenchRow], files: Files, about: dict[str, Any]) -> None:
    """Write everything as JSON; times in seconds, sizes in MB (files: bytes)."""
    facts = {
        **about,
        "rows": [row.facts() for row in rows],
        "largest_files": {
            impl: [{"file": name, "bytes": size} for name, size in sizes]
            for impl, sizes in files.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
