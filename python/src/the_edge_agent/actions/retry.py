"""``retry.loop``: checks something, and has a node correct it as long as it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from the_edge_agent.actions.registry import ActionSpec, Call, Target, table_spec
from the_edge_agent.errors import TeaError

_MAX_RETRIES = 1  # where max_retries is not given


def retry_action() -> dict[str, ActionSpec]:
    """Return the action by its name."""
    spec = table_spec("retry.loop", _run)
    return {"retry.loop": replace(spec, targets=_targets, late=frozenset({"validate_args"}))}


async def _run(call: Call) -> dict[str, Any]:
    limit = call.params.get("max_retries")
    limit = _MAX_RETRIES if limit is None else limit
    written: dict[str, Any] = {}
    count = 0
    while True:
        result, errors = await _check(call, written)
        ended = {"_retry_count": count, "_retry_errors": errors, "_retry_result": result}
        if errors is None or count == limit:
            ended |= {"_retry_errors": errors or [], "_retry_exhausted": errors is not None}
            return {**written, **ended}
        if delay := call.params.get("retry_delay"):
            await call.sleep(float(delay))
        count += 1
        over = {**written, **ended, "_retry_count": count}
        written |= await call.run_node(call.params["correct"], over)


async def _check(call: Call, written: Mapping[str, Any]) -> tuple[Any, list[Any] | None]:
    """Return what the check gave, and what is wrong; None where nothing is."""
    given = call.render_late("validate_args", written) or {}
    try:
        result = await call.run_action(call.params["validate"], given)
    except TeaError as error:
        return None, [{"message": error.message}]
    if not isinstance(result, dict) or result.get("valid", True):
        return result, None
    errors = result.get("errors")
    return result, errors if isinstance(errors, list) else []


def _targets(params: Mapping[str, Any]) -> Iterator[Target]:
    for key, kind in (("validate", "action"), ("correct", "node")):
        if isinstance(params.get(key), str):
            yield Target(key, key, kind, params[key])
