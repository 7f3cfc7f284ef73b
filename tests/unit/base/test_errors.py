import re
from pathlib import Path

import pytest

from tasks.base import errors
from tasks.base.errors import DiskFull, TaskError, UnknownName, describe
from tasks.base.paths import ROOT

DOCUMENT = ROOT / "docs/errors.md"


def kinds(base: type[TaskError] = TaskError) -> list[type[TaskError]]:
    found = [base]
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            found += kinds(kind)
    return found


def documented() -> dict[str, int]:
    rows = re.findall(r"^\| (\d+) \| (?:· )?(\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    return {name: int(code) for code, name in rows}


def test_the_document_lists_every_error_and_no_other() -> None:
    assert documented() == {kind.__name__: kind.exit_code for kind in kinds()}


def test_errors_share_an_exit_code_with_their_kind_alone() -> None:
    for one in kinds():
        for other in kinds():
            if one.exit_code == other.exit_code:
                assert issubclass(one, other) or issubclass(other, one)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: str(kind.__name__))
def test_an_error_that_names_its_exit_code_names_the_right_one(kind: type[TaskError]) -> None:
    for code in re.findall(r"Exit code (\d+)", kind.__doc__ or ""):
        assert int(code) == kind.exit_code


def test_no_exit_code_is_one_that_a_shell_or_ctrl_c_gives() -> None:
    assert all(0 < kind.exit_code < 100 for kind in kinds())


def test_a_description_has_the_remedy_on_a_line_of_its_own() -> None:
    assert describe(TaskError("it broke", hint="mend it")) == "it broke\n  → mend it"
    assert describe(TaskError("it broke")) == "it broke"


def test_an_unknown_name_suggests_the_nearest_or_lists_all() -> None:
    assert describe(UnknownName("model", "gema", ["gemma", "phi"])).endswith("mean 'gemma'?")
    assert describe(UnknownName("model", "zzz", ["phi", "gemma"])).endswith("known: gemma, phi")


def test_a_full_disk_says_only_the_sizes_that_are_known() -> None:
    assert DiskFull(Path("/d"), 2_000_000, 1_000_000).message == "/d: 2 MB needed, 1 MB free"
    assert DiskFull("the engine", None, None).message == "the engine: no space left"
