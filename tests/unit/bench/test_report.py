import json
from pathlib import Path

import pytest

from tasks.bench import report
from tasks.bench.report import BenchRow, Figure, Goal

OURS = Figure.of("ours", [3.0, 1.0, 2.0])
PEER = Figure.of("peer", [4.0, 4.0])


def test_a_figure_is_the_median_of_all_its_samples() -> None:
    assert (OURS.median, OURS.runs, OURS.samples) == (2.0, 3, (3.0, 1.0, 2.0))


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (BenchRow("ratio", "s", OURS, PEER, None), 0.5),
        (BenchRow("difference", "s", OURS, PEER, None, difference=True), -2.0),
        (BenchRow("alone", "MB", OURS, None, None), 2.0),
    ],
    ids=lambda case: case.name if isinstance(case, BenchRow) else "",
)
def test_a_row_is_a_ratio_a_difference_or_its_own_figure(row: BenchRow, value: float) -> None:
    assert row.value == value


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal(0.5), "met"),
        (Goal(0.49), "missed"),
        (Goal(0.5, at_most=False), "met"),
        (Goal(0.51, at_most=False), "missed"),
        (None, "for information"),
    ],
    ids=str,
)
def test_a_goal_counts_its_own_limit_as_met(goal: Goal | None, verdict: str) -> None:
    assert BenchRow("row", "s", OURS, PEER, goal).verdict == verdict


def test_the_printed_row_has_medians_goal_and_runs() -> None:
    goal = Goal(0.97, at_most=False)
    cells = BenchRow("rate", "tokens/s", OURS, PEER, goal, impl="rust", model="m").cells()
    assert cells == (
        "rate",
        "rust",
        "m",
        "ours: 2.000 tokens/s",
        "peer: 4.000 tokens/s",
        "0.500",
        "",
        "≥ 0.97",
        "missed",
        "3",
    )


def test_a_difference_is_printed_in_its_unit() -> None:
    assert BenchRow("start", "s", OURS, PEER, Goal(0.15), difference=True).cells()[5] == "-2.000 s"


def test_processor_time_compares_as_the_wall_clock_does() -> None:
    ours = Figure.of("ours", [9.0], [2.0, 3.0, 4.0])
    peer = Figure.of("peer", [1.0], [2.0])
    assert BenchRow("first", "s", ours, peer, None).processor == 1.5
    assert BenchRow("start", "s", ours, peer, None, difference=True).cells()[6] == "1.000"
    assert BenchRow("rate", "s", ours, PEER, None).processor is None


def test_the_largest_files_leave_links_out(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for name, length in (("lib/large", 30), ("small", 10), ("middle", 20)):
        (tmp_path / name).write_bytes(bytes(length))
    (tmp_path / "link").symlink_to("lib/large")
    assert report.largest_files(tmp_path, 2) == [("lib/large", 30), ("middle", 20)]


def test_the_json_has_every_sample_and_the_verdict(tmp_path: Path) -> None:
    rows = [BenchRow("rate", "tokens/s", OURS, PEER, Goal(0.4, at_most=False))]
    report.write(tmp_path / "dist/bench.json", rows, {"rust": [("file", 7)]}, {"bundle": "b"})
    facts = json.loads((tmp_path / "dist/bench.json").read_text())
    (row,) = facts["rows"]
    assert row["ours"]["samples"] == [3.0, 1.0, 2.0]
    assert (row["value"], row["compare"], row["verdict"]) == (0.5, "ratio", "met")
    assert facts["largest_files"] == {"rust": [{"file": "file", "bytes": 7}]}
    assert facts["bundle"] == "b"
