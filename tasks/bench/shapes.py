"""Rows of answers with a shape, looked-up continuations, and decisions, against free answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from tasks.base.errors import BenchFailed
from tasks.base.paths import ROOT
from tasks.bench.container import Bench, Step, Timed, logged_answers
from tasks.bench.report import BenchRow, Figure, Goal

SCHEMAS = ROOT / "tests/shapes/schemas.yaml"
REALISTIC = (
    "person",
    "address",
    "order",
    "appointment",
    "ticket",
    "recipe",
    "settings",
    "command",
    "route",
    "quiz",
)
TRIVIAL = {"type": "string", "maxLength": 500}
# Nothing is looked up at a temperature, and a seed gives the same answer each time.
FREE: dict[str, Any] = {"temperature": 0.7, "seed": 1}
LETTER = (
    "Dear Mrs Miller, the delivery of 12 blue chairs and 3 round tables that you ordered on the"
    " second of May will arrive on Monday between nine and twelve. Please have somebody at the"
    " door who can sign for it. With kind regards, Tom Hill, Hill and Sons, London"
)
EDITS = (
    "Repeat this letter word by word",
    "Write this letter again with Tuesday in the place of Monday",
    "Write this letter again without its last sentence",
    "Correct the spelling of this letter",
    "Copy the sentence that names the day from this letter",
    "Write this letter again to Mr Smith",
)
CHATS = (
    "Tell me about the sea.",
    "Why is the sky blue?",
    "Write a poem about rain.",
    "Who was Bach?",
)
CHOICES = ["complaint", "question", "praise", "order"]
DECISIONS = 8


def shapes(bench: Bench) -> Iterator[BenchRow]:
    """Time per token of held answers against free ones, of looked-up ones, and of decisions."""
    steps = [
        *_answers(bench),
        _decisions(bench, "one prompt", 1, "llm.call"),
        _decisions(bench, "prompts", DECISIONS + 1, "llm.call"),
        _decisions(bench, "decision", 1, "llm.decide"),
        _decisions(bench, "decisions", DECISIONS + 1, "llm.decide"),
    ]
    with bench.inside() as inside:
        results = inside.measure(steps, bench.runs)
    for name, ours, peer, goal in (
        ("time per token, trivial schema", "trivial", "free", 1 / 0.95),
        ("time per token, ten schemas", "ten", "ten free", 0.9),
        ("time per token, six edits looked up", "edits", "edits one by one", 0.78),
        ("time per token, four chats looked up", "chats", "chats one by one", 1.03),
    ):
        yield BenchRow(name, "s", _per_token(ours, results), _per_token(peer, results), Goal(goal))
    yield BenchRow(
        "decision among four choices",
        "s",
        _each("llm.decide", results["decisions"], results["decision"]),
        _each("prompt", results["prompts"], results["one prompt"]),
        Goal(1.2),
    )


def _answers(bench: Bench) -> Iterator[Step]:
    cases = yaml.safe_load(SCHEMAS.read_text("utf-8"))
    ten = [cases[name] for name in REALISTIC]
    story = {"prompt": "Tell a story."}
    letters = [{"prompt": f"{edit}: {LETTER}"} for edit in EDITS]
    chats = [{"prompt": chat} for chat in CHATS]
    greedy = {"temperature": 0, "max_tokens": 100}
    one_by_one = {**FREE, "top_k": 1, "max_tokens": 100}  # the likeliest token too
    held = [
        {"prompt": f"{case['prompt']} Answer as JSON.", "schema": case["schema"]} for case in ten
    ]
    yield _calls(bench, "free", [story], {**FREE, "max_tokens": 128})
    yield _calls(bench, "trivial", [{**story, "schema": TRIVIAL}], {**FREE, "max_tokens": 400})
    free = [{"prompt": case["prompt"]} for case in ten]
    yield _calls(bench, "ten free", free, {**FREE, "max_tokens": 40})
    yield _calls(bench, "ten", held, {**FREE, "max_tokens": 256})
    yield _calls(bench, "edits", letters, greedy)
    yield _calls(bench, "edits one by one", letters, one_by_one)
    yield _calls(bench, "chats", chats, greedy)
    yield _calls(bench, "chats one by one", chats, one_by_one)


def _calls(
    bench: Bench, name: str, calls: Sequence[dict[str, Any]], fields: dict[str, Any]
) -> Step:
    nodes = []
    for number, call in enumerate(calls):
        action = {"uses": "llm.call", "with": {**call, **fields}}
        nodes.append({"name": f"n{number}", **action, "output": f"o{number}"})
    return _step(bench, name, nodes)


def _decisions(bench: Bench, name: str, count: int, action: str) -> Step:
    """Several prompts of about 300 tokens that have no beginning in common."""
    more: dict[str, Any] = {"choices": CHOICES} if action == "llm.decide" else {"max_tokens": 1}
    nodes = [
        {
            "name": f"n{number}",
            "uses": action,
            "with": {"system": f"{number}.", "prompt": f"{LETTER} " * 5 + "What is this?", **more},
            "output": f"o{number}",
        }
        for number in range(count)
    ]
    return _step(bench, name, nodes)


def _step(bench: Bench, name: str, nodes: list[dict[str, Any]]) -> Step:
    file = {"name": "bench", "settings": {"llm": {"backend": "local"}}, "nodes": nodes}
    return bench.tea("tree", "run", "--verbose", "-", stdin=json.dumps(file), name=name)


def _per_token(name: str, results: dict[str, list[Timed]]) -> Figure:
    samples = []
    for result in results[name]:
        answers = logged_answers(result)
        if not answers:
            raise BenchFailed(f"{name}: no answer", hint=result.stderr[-200:])
        samples.append(sum(time for _, time in answers) / sum(count for count, _ in answers))
    return Figure.of(name, samples)


def _each(name: str, many: list[Timed], one: list[Timed]) -> Figure:
    """Seconds of each of those that ``many`` has more than ``one``, load and start taken off."""
    pairs = zip(many, one, strict=True)
    return Figure.of(name, [(more.seconds - less.seconds) / DECISIONS for more, less in pairs])
