"""The registry that a host begins with: actions that need neither a model nor a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from the_edge_agent.actions.data import data_actions
from the_edge_agent.actions.files import file_actions
from the_edge_agent.actions.registry import ActionSpec
from the_edge_agent.actions.retry import retry_action


def base_registry(roots: Sequence[str | Path]) -> dict[str, ActionSpec]:
    """Return the actions on data, and those on files below ``roots``.

    A relative path is taken from the first root; without roots no file can be reached.
    """
    return {**data_actions(), **retry_action(), **file_actions(roots)}
