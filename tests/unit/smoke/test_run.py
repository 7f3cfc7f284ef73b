from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog, images
from tasks.base.errors import (
    AppImageError,
    ContainerTimeout,
    EngineError,
    NotWritable,
    SmokeFailed,
    SmokeNotRun,
    TaskError,
    UnknownName,
)
from tasks.build.pack import MAGIC
from tasks.engine.engine import Engine, Output
from tasks.fetch import ensure
from tasks.fetch.ensure import StoredModel
from tasks.host import binfmt
from tasks.images import Base
from tasks.smoke import cpus
from tasks.smoke import run as smoke
from tests.support.elf import AARCH64, RISCV, X86_64, Elf
from tests.support.fake_engine import FakeEngine

SQUASHFS = b"hsqs" + bytes(36) + (96).to_bytes(8, "little") + bytes(48)
CHECKS = [
    "--version",
    "--impl",
    "second start unpacks nothing",
    "validate",
    "a broken workflow is refused",
    "the model answers",
]


NO_MODEL = "error: no model found\n  → name a GGUF file, or put one beside the AppImage\n"


def said(text: str = "", *, code: int = 0, error: str = "") -> Output:
    return Output(code, text.encode(), error.encode(), 0.01)


@dataclass
class Bundle:
    """A bundle's behaviour in a container: what it says for each command, and what it unpacks."""

    version: Output = field(default_factory=lambda: said("tea 1.2.3\n"))
    impl: Output = field(default_factory=lambda: said("python\n"))
    validate: Output = field(default_factory=said)
    broken: Output = field(
        default_factory=lambda: said(code=2, error="1:2: no action 'llm.cal', is it 'llm.call'?")
    )
    answer: Output = field(default_factory=lambda: said('{"answer": "It is Paris."}'))
    alone: Output = field(default_factory=lambda: said(code=3, error=NO_MODEL))
    unpacks: Callable[[int], str] = lambda starts: "/home/user/.cache/x/usr/lib/libc.so.6 1 2 3\n"
    failure: TaskError | None = None
    starts: int = 0

    def exec(self, argv: Sequence[str], **options: Any) -> Output:
        """What the engine's container does with a command."""
        if argv[0] == "chown":
            return said()
        if self.failure:
            raise self.failure
        if argv[0] == "find":
            return said(self.unpacks(self.starts) + "/home/user/.cache/x/last-used 9 9 0\n")
        assert options["user"] == "1000:1000"
        self.starts += 1
        if argv[1] == "run" and argv[0].startswith("/alone/"):
            return self.alone
        if argv[1] == "run":
            return self.broken if options["stdin"] else self.answer
        return {"--version": self.version, "--impl": self.impl, "validate": self.validate}[argv[1]]


@pytest.fixture
def bundle() -> Bundle:
    return Bundle()


@pytest.fixture
def engine(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine(inside=bundle)
    monkeypatch.setattr(Engine, "connect", lambda *words: engine)
    monkeypatch.setattr(images, "ensure", lambda *words: Base("clean:1", "standin", "sha256:0"))
    # Whatever this machine is and can emulate: it is an x86_64 one and runs nothing else.
    monkeypatch.setattr(binfmt, "native_target", lambda: catalog.target("x86_64"))
    monkeypatch.setattr(binfmt, "entry_for", lambda *words: None)
    return engine


RECORD = {"implementation": "python", "version": "1.2.3", "model": {"id": "smollm2-135m"}}


def write(folder: Path, name: str = "a", machine: int = X86_64, record: object = RECORD) -> Path:
    path = folder / f"{name}.AppImage"
    path.write_bytes(bytes(Elf(machine=machine, mark=MAGIC)) + SQUASHFS)
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_model_with_an_example_of_its_own_answers_that_too(
    engine: FakeEngine, tmp_path: Path
) -> None:
    smoke.run([write(tmp_path, record={**RECORD, "model": {"id": "gemma3-1b"}})])
    names = [check["name"] for check in report(tmp_path / "a.AppImage")["checks"]]
    assert names == [*CHECKS, "the model answers its own example"]


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(f"{path.stem}.smoke.json").read_text())
    return found


def failed(path: Path) -> dict[str, str]:
    """The failed checks of the report, and what they say."""
    return {
        check["name"]: check["detail"] for check in report(path)["checks"] if not check["passed"]
    }


def test_bundle_that_does_all_it_must_passes(
    engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    smoke.run([path])
    found = report(path)
    assert found["passed"] is True
    assert (found["file"], found["image"]) == ("a.AppImage", "clean:1")
    assert [check["name"] for check in found["checks"]] == CHECKS
    table = capsys.readouterr().out
    assert all(name in table for name in CHECKS)
    assert "FAILED" not in table


def test_container_is_a_stranger_s_machine(engine: FakeEngine, tmp_path: Path) -> None:
    path = write(tmp_path)
    smoke.run([path])
    (runner,) = engine.containers
    assert runner["read_only"] is True
    assert runner["tmpfs"] == {"/tmp": "size=64m"}
    assert not runner.keys() & {"network", "devices", "cap_add", "security_opt"}
    mounts = {mount.target: mount for mount in runner["mounts"]}
    assert mounts.keys() == {"/bundle/a.AppImage", "/examples", "/home/user"}
    assert mounts["/bundle/a.AppImage"].read_only and mounts["/examples"].read_only


# -- a bundle without a model

THIN = {**RECORD, "model": None}
ALONE = "without a model it says what to do"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model that the store has."""
    path = tmp_path / "small.gguf"
    stored = StoredModel(path, "0" * 64, 1, "test", None)
    monkeypatch.setattr(ensure, "ensure", lambda model: stored)
    return path


def test_thin_bundle_is_tried_with_a_model_and_without(
    engine: FakeEngine, beside: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, record=THIN)
    smoke.run([path])
    assert [check["name"] for check in report(path)["checks"]] == [*CHECKS[:-1], ALONE, CHECKS[-1]]
    (runner,) = engine.containers
    places = {mount.target: str(mount.source) for mount in runner["mounts"]}
    assert places["/bundle/small.gguf"] == str(beside)
    assert places["/bundle/a.AppImage"] == places["/alone/a.AppImage"] == str(path)
    assert not any(place.endswith(".gguf") for place in places if place.startswith("/alone"))


@pytest.mark.usefixtures("engine", "beside")
@pytest.mark.parametrize(("alone", "detail"), [
    (said(code=1, error=NO_MODEL), "exit code 1, expected 3"),
    (said(code=3, error="error: broken"), "says nothing of 'no model found'"),
    (said(code=3, error="error: no model found"), "says nothing of 'beside the AppImage'"),
    (said('{"answer": "Paris"}'), "exit code 0, expected 3"),
])  # fmt: skip
def test_thin_bundle_that_does_not_say_what_it_lacks_fails(
    alone: Output, detail: str, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.alone = alone
    path = write(tmp_path, record=THIN)
    with pytest.raises(SmokeFailed):
        smoke.run([path])
    assert list(failed(path)) == [ALONE]
    assert detail in failed(path)[ALONE]


def behave(**outputs: Output) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        for name, output in outputs.items():
            setattr(bundle, name, output)

    return change


def unpack(listing: Callable[[int], str]) -> Callable[[Bundle], None]:
    return lambda bundle: setattr(bundle, "unpacks", listing)


VERSION, IMPL, SECOND, VALIDATE, REFUSED, ANSWERS = CHECKS
FAULTS: dict[str, tuple[Callable[[Bundle], None], dict[str, str]]] = {
    "another version": (
        behave(version=said("tea 1.2.4\n")),
        {VERSION: "said 'tea 1.2.4\\n', expected 'tea 1.2.3\\n'", SECOND: "said 'tea 1.2.4\\n'"},
    ),
    "a version with a warning on stdout": (
        behave(version=said("note\ntea 1.2.3\n")),
        {VERSION: "said 'note\\ntea 1.2.3\\n'", SECOND: "said"},
    ),
    "the right version and a crash": (
        behave(version=said("tea 1.2.3\n", code=139, error="Segmentation fault")),
        {VERSION: "exit code 139, expected 0: Segmentation fault", SECOND: "exit code 139"},
    ),
    "another implementation": (
        behave(impl=said("rust\n")),
        {IMPL: "said 'rust\\n', expected 'python\\n'"},
    ),
    "unpacking at every start": (
        unpack(lambda starts: f"/home/user/.cache/x/usr/lib/libc.so.6 {starts} 2 3\n"),
        {SECOND: "the second start wrote files again"},
    ),
    "unpacking elsewhere": (
        unpack(lambda starts: ""),
        {SECOND: "the first start left no files in the cache"},
    ),
    "refusing the example": (
        behave(validate=said(code=2, error="one\nunknown key")),
        {VALIDATE: "exit code 2, expected 0: unknown key"},
    ),
    "running a broken workflow": (
        behave(broken=said("{}")),
        {REFUSED: "exit code 0, expected 2: no output"},
    ),
    "refusing it without the nearest action": (
        behave(broken=said(code=2, error="bad file")),
        {REFUSED: "says nothing of 'llm.call'"},
    ),
    "failing with the right code's neighbour": (
        behave(broken=said(code=1, error="llm.call")),
        {REFUSED: "exit code 1, expected 2: llm.call"},
    ),
    "no model": (
        behave(answer=said(code=3, error="note\nno model\n  hint: give one\n\n")),
        {ANSWERS: "exit code 3, expected 0: no model"},
    ),
    "a right answer and a failure": (
        behave(answer=said('{"answer": "Paris"}', code=1)),
        {ANSWERS: "exit code 1, expected 0: no output"},
    ),
    "an answer that is no JSON": (
        behave(answer=said("Paris")),
        {ANSWERS: "no answer in its output"},
    ),
    "a state without an answer": (
        behave(answer=said('{"question": "Paris?"}')),
        {ANSWERS: "no answer in its output (KeyError('answer'))"},
    ),
    "a list": (behave(answer=said('["Paris"]')), {ANSWERS: "no answer in its output"}),
    "an empty answer": (
        behave(answer=said('{"answer": " \\n"}')),
        {ANSWERS: "the answer is empty: ' \\n'"},
    ),
    "an answer that is no text": (
        behave(answer=said('{"answer": {"content": "Paris"}}')),
        {ANSWERS: "the answer is empty"},
    ),
    "noise": (
        behave(answer=said('{"answer": "It is Lyon."}')),
        {ANSWERS: "'It is Lyon.' does not contain 'Paris'"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_checks_fail_that_must_for(
    fault: str, bundle: Bundle, engine: FakeEngine, tmp_path: Path
) -> None:
    change, expected = FAULTS[fault]
    change(bundle)
    path = write(tmp_path)
    with pytest.raises(SmokeFailed, match=r"1 of 1 bundles failed: a\.AppImage") as caught:
        smoke.run([path])
    assert caught.value.exit_code == 30
    assert report(path)["passed"] is False
    found = failed(path)
    assert found.keys() == expected.keys()
    for name, detail in expected.items():
        assert found[name].startswith(detail)


@pytest.mark.parametrize(
    "failure",
    [ContainerTimeout("clean:1: did not end in 120 s and was killed"), EngineError("lost")],
    ids=["hang", "engine lost"],
)
def test_bundle_that_never_ends_fails_every_check(
    failure: TaskError, bundle: Bundle, engine: FakeEngine, tmp_path: Path
) -> None:
    bundle.failure = failure
    path = write(tmp_path)
    with pytest.raises(SmokeFailed):
        smoke.run([path])
    assert list(failed(path)) == CHECKS
    assert failed(path)["--version"] == failure.message


def test_model_of_unknown_answer_must_only_say_something(
    bundle: Bundle, engine: FakeEngine, tmp_path: Path
) -> None:
    bundle.answer = said('{"answer": "Bonjour."}')
    path = write(tmp_path, record={**RECORD, "model": {"id": "mine"}})
    smoke.run([path])
    assert report(path)["passed"] is True


def test_all_of_dist_is_tried_when_no_file_is_named(engine: FakeEngine, tmp_path: Path) -> None:
    paths = [write(tmp_path, name) for name in ("a", "b")]
    smoke.run([], dist=tmp_path)
    assert [report(path)["passed"] for path in paths] == [True, True]


def test_bundle_of_another_architecture_is_no_pass(engine: FakeEngine, tmp_path: Path) -> None:
    foreign, native = write(tmp_path, "a", AARCH64), write(tmp_path, "b")
    with pytest.raises(SmokeNotRun, match=r"a\.AppImage \(.*cannot run aarch64") as caught:
        smoke.run([], dist=tmp_path)
    assert caught.value.exit_code == 31
    assert report(native)["passed"] is True
    assert not foreign.with_name("a.smoke.json").exists()


def test_failure_weighs_more_than_what_could_not_be_tried(
    bundle: Bundle, engine: FakeEngine, tmp_path: Path
) -> None:
    bundle.impl = said("rust\n")
    write(tmp_path, "a", AARCH64)
    write(tmp_path, "b")
    with pytest.raises(SmokeFailed):
        smoke.run([], dist=tmp_path)


def test_empty_dist_is_an_error_that_says_what_to_build(tmp_path: Path) -> None:
    with pytest.raises(AppImageError, match="no AppImage to try") as caught:
        smoke.run([], dist=tmp_path)
    assert "nox -s quickstart" in caught.value.hint


RECORDS = {
    "gone": None,
    "not JSON": b"{",
    "not text": b"\xff\xfe",
    "a list": b"[]",
    "without a version": b'{"implementation": "python", "model": {"id": "smollm2-135m"}}',
    "with a model that is text": b'{"implementation": "a", "version": "1", "model": "m"}',
}


@pytest.mark.parametrize("record", RECORDS)
def test_record_is_refused_that_is(record: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    content = RECORDS[record]
    path.with_suffix(".json").unlink()
    if content is not None:
        path.with_suffix(".json").write_bytes(content)
    with pytest.raises(AppImageError, match="no readable record") as caught:
        smoke.run([path])
    assert "build the bundle again" in caught.value.hint


def test_bundle_for_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppImageError, match="is for EM_RISCV, which no bundle is"):
        smoke.run([write(tmp_path, machine=RISCV)])


def test_unwritable_report_is_an_error_of_its_folder(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if str(target).endswith(".smoke.json"):
            raise PermissionError(13, os.strerror(13), str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(NotWritable, match="Permission denied"):
        smoke.run([path])


def test_request_takes_files() -> None:
    assert smoke.request(["a", "b"]).files == (Path("a"), Path("b"))
    assert smoke.request([]) == smoke.Request((), None)


def test_smoke_takes_cpus_by_name_and_all_of_them() -> None:
    known = cpus.cpus()
    assert smoke.request(["--cpu", "cortex-a76"]).cpus == (known["cortex-a76"],)
    assert smoke.request(["--cpu", "all"]).cpus == tuple(known.values())
    with pytest.raises(UnknownName, match="unknown CPU 'cortex-a67'") as caught:
        smoke.request(["--cpu", "cortex-a67"])
    assert "cortex-a7" in caught.value.hint
