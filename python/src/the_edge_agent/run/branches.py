"""Branches of a run: so many at a time, their results in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from the_edge_agent.errors import WorkflowFailed

T = TypeVar("T")


def result(
    index: int,
    state: Mapping[str, Any],
    source_node: str,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the entry of a branch in ``parallel_results``."""
    return {
        "index": index,
        "state": dict(state),
        "source_node": source_node,
        "success": error is None,
        "error": error,
    }


async def run_all(count: int, limit: int, run: Callable[[int], Awaitable[T]]) -> list[T]:
    """Return what ``run`` gives for 0 to ``count``, at most ``limit`` of them at a time.

    Raises:
        WorkflowFailed: what one of them raised; the others are cancelled.
    """
    results: dict[int, T] = {}
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            results[number] = await run(number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, count)):
                group.create_task(work())
    except* WorkflowFailed as failures:
        raise _first(failures.exceptions) from None
    return [results[number] for number in range(count)]


def _first(errors: Sequence[BaseException]) -> BaseException:
    """Return one error out of a group, at any depth."""
    error = errors[0]
    return _first(error.exceptions) if isinstance(error, BaseExceptionGroup) else error
