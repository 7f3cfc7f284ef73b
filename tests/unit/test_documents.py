"""What README.md and docs/ tell a user to type is there to be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import catalog, options
from tasks.catalog import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What stands for a name in a document, and one of the names.
PLACEHOLDERS = {"MODEL": "smollm2-135m", "ARCH": "x86_64"}


def commands(text: str) -> Iterator[list[str]]:
    """Every `nox -s …` in ``text``, as words; a note in brackets means any arguments."""
    for found in re.finditer(r"nox -s ([^`\n|\[]+)", text):
        yield shlex.split(found[1].replace("…", "").replace("...", "").rstrip(" .;:,)"))


def sessions() -> set[str]:
    """The names that the noxfile's text and the data give."""
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    fixed = set(re.findall(r"@(?:task|nox\.session)\([^)]*\)\n(?:@reported\n)?def (\w+)", text))
    named = set(re.findall(r'name="([\w-]+)"', text))
    made = {f"fetch-{name}" for name in catalog.models()}
    made |= {f"build-{name}-{arch}" for name in catalog.models() for arch in catalog.targets()}
    return {name.rstrip("_") for name in fixed} | named | made


ALL = [(path, words) for path in DOCUMENTS for words in commands(path.read_text(encoding="utf-8"))]


def test_documents_have_commands_to_check() -> None:
    assert len(ALL) > 20


@pytest.mark.parametrize(
    ("path", "words"), ALL, ids=[f"{path.name}: {' '.join(words)}" for path, words in ALL]
)
def test_command_in_a_document_names_a_session(path: Path, words: list[str]) -> None:
    names = words[: words.index("--")] if "--" in words else words[:1]
    for name in names:
        meant = re.sub("|".join(PLACEHOLDERS), lambda found: PLACEHOLDERS[found[0]], name)
        assert meant in sessions(), f"{path.name}: nox -s {name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_to_files(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), link


def test_readme_installs_what_ci_installs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for text in ("nox==2026.10.20", ".venv/bin/nox -s tests"):
        assert text in readme
        assert text in script
    assert "nox==2026.10.20" in (ROOT / "noxfile.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--impl", "--runtime", "--dist", "--builder", "--cache-from",
                                    "--cache-to", "--no-cache", "--locked",
                                    "--update-repo"])  # fmt: skip
def test_readme_names_options_that_builds_take(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert option in (ROOT / "README.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        options.build("build-smollm2-135m-x86_64", ["--help"])
    assert left.value.code == 0
    assert option in capsys.readouterr().out
