"""Writes the table as constants of the browser package."""

from __future__ import annotations

from tasks.spec.table import Table


def write(table: Table) -> str:
    """The module spec.ts."""
    lines = ["", "/** How to choose the tokens of an answer, each with its default. */"]
    lines += ["export const SAMPLING = {"]
    for key in table.sampling:
        lines += [f"  /** {key.help[0].upper()}{key.help[1:]}. */"]
        lines += [f"  {key.name}: {key.default!r},"]
    lines += ["};", "export type Sampling = Readonly<typeof SAMPLING>;"]
    lines += ["", "/** The words of `state.__error__.type`. */", "export type ErrorType ="]
    lines += ["\n".join(f"  | '{name}'" for name in table.error_types) + ";"]
    return "\n".join([*lines, ""])
