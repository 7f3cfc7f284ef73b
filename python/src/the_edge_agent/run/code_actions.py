"""Actions as Python code of a workflow calls them: ``actions["json.parse"](text=…)``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from the_edge_agent.actions.registry import Registry, checked
from the_edge_agent.value.value import to_data

# Runs an action with its parameters and gives its result.
Run = Callable[[str, dict[str, Any]], Awaitable[Any]]


class CodeActions(Mapping[str, Callable[..., Any]]):
    """The actions by name, each a function of its parameters that waits for the result."""

    def __init__(self, node: str, registry: Registry, run: Run) -> None:
        self._node = node
        self._registry = registry
        self._run = run

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self._registry:
            raise KeyError(name)
        return lambda **params: self._call(name, params)

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry)

    def __len__(self) -> int:
        return len(self._registry)

    def _call(self, name: str, params: dict[str, Any]) -> Any:
        """Call an action. ``state``, which the original's actions take, is left out."""
        if "state" not in self._registry[name].params:
            params.pop("state", None)
        given = to_data(params)
        checked(self._registry, name, given)
        return _wait(self._run(name, given))


def _wait(work: Awaitable[Any]) -> Any:
    """Return what ``work`` gives. The loop of the run is busy with the code that waits here."""
    done: list[Any] = []
    failed: list[BaseException] = []

    async def finish() -> None:
        done.append(await work)

    def in_a_loop_of_its_own() -> None:
        try:
            asyncio.run(finish())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=in_a_loop_of_its_own, daemon=True)
    thread.start()
    thread.join()
    for error in failed:
        raise error
    return done[0]
