"""``tea validate``: everything that is wrong with workflow files."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from the_edge_agent.cli import output, streams, values
from the_edge_agent.errors import InvalidFile, Problem, UsageError
from the_edge_agent.spec import EXIT_USAGE

if TYPE_CHECKING:
    from the_edge_agent.actions.registry import Registry


def validate_command(options: Namespace) -> int:
    """Check ``options.files`` and print every problem; return 0 when all are valid, else 2.

    Problems are the result, so they go to stdout: one a line, or with ``--json`` as one list of
    {file, valid, problems: [{file, line, column, severity, message, hint}]}.

    Raises:
        UsageError: a file cannot be read, or a folder has no workflows.
    """
    from the_edge_agent.cli.registry import registry_to_check

    actions = registry_to_check()
    names = [name for given in options.files for name in _workflows(given)]
    if options.dump_merged and (options.json or len(names) > 1):
        raise UsageError("--dump-merged takes one file, and no --json")
    if options.dump_merged:
        return _dump(names[0], options, actions)
    results = [_check(name, options, actions) for name in names]
    if options.json:
        streams.answer(output.to_json([_as_json(*each) for each in results], indent=2) + "\n")
    else:
        for name, errors, warnings in results:
            for problem in errors:
                streams.answer(f"{problem}\n")
            if not options.quiet:
                for problem in warnings:
                    streams.answer(f"{_warning(problem)}\n")
            if not errors and not options.quiet:
                streams.say(f"{name}: valid")
    return EXIT_USAGE if any(errors for _, errors, _ in results) else 0


def _dump(name: str, options: Namespace, actions: Registry) -> int:
    """Print the file with its overlays, if it is valid. Problems go to stderr."""
    from the_edge_agent.workflow.load import load_document
    from the_edge_agent.workflow.subgraphs import source
    from the_edge_agent.yaml.document import plain

    written = values.read_workflow(name, options.overlay)
    workflow = load_document(written, name, actions=actions, source=source(name))
    if options.strict and workflow.warnings:
        raise InvalidFile(workflow.warnings)
    if not options.quiet:
        for problem in workflow.warnings:
            streams.say(_warning(problem))
    streams.answer(output.to_json(plain(written), indent=2) + "\n")
    return 0


def _workflows(name: str) -> list[str]:
    """Return the file, or all YAML files below the folder ``name``, in order."""
    folder = Path(name)
    if name == values.STDIN or not folder.is_dir():
        return [name]
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml"))
    files = [str(path) for path in found if path.is_file()]
    if not files:
        raise UsageError(f"{name}: there is no YAML file in this folder")
    return files


def _check(
    name: str, options: Namespace, actions: Registry
) -> tuple[str, tuple[Problem, ...], tuple[Problem, ...]]:
    from the_edge_agent.workflow.load import load_document
    from the_edge_agent.workflow.subgraphs import source

    try:
        written = values.read_workflow(name, options.overlay)
        workflow = load_document(written, name, actions=actions, source=source(name))
    except InvalidFile as error:
        return name, error.problems, ()
    warnings = tuple(workflow.warnings)
    return (name, warnings, ()) if options.strict else (name, (), warnings)


def _warning(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.place}: warning: {problem.message}{hint}"


def _as_json(
    name: str, errors: tuple[Problem, ...], warnings: tuple[Problem, ...]
) -> dict[str, Any]:
    return {
        "file": name,
        "valid": not errors,
        "problems": [
            {
                "file": problem.place.file,
                "line": problem.place.line,
                "column": problem.place.column,
                "severity": severity,
                "message": problem.message,
                "hint": problem.hint,
            }
            for severity, problems in (("error", errors), ("warning", warnings))
            for problem in problems
        ],
    }
