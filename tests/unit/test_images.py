"""Which base image is taken, and where its packages come from; no Docker, no downloads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from tasks import catalog, images
from tasks.base import process
from tasks.base.errors import (
    CommandFailed,
    DiskFull,
    HostError,
    NoSuchImage,
    RegistryUnreachable,
    TaskError,
    WrongArchitecture,
)
from tasks.catalog import FallbackImage, Image
from tasks.engine.engine import Engine
from tasks.host import apt, binfmt
from tasks.host.apt import Archives, Entry
from tests.support.fake_engine import FakeEngine

NATIVE = catalog.native_target()
FOREIGN = next(target for target in catalog.targets().values() if target != NATIVE)
IMAGE = Image(
    "smoke", "ubuntu:22.04", f"sha256:{'0' * 64}", FallbackImage("bullseye", ("main", "security"))
)
TAG = f"tea-base/debian-bullseye:{NATIVE.debian}"
RECIPE = {images.RECIPE: "bullseye main security"}


def fake_engine(
    on_pull: Callable[[FakeEngine], None],
    local: dict[str, tuple[str, Mapping[str, str]]] | None = None,
) -> FakeEngine:
    return FakeEngine(NATIVE.arch, local or {}, on_pull)


def refusing(error: TaskError) -> Callable[[FakeEngine], None]:
    def pull(engine: FakeEngine) -> None:
        raise error

    return pull


def giving(arch: str) -> Callable[[FakeEngine], None]:
    def pull(engine: FakeEngine) -> None:
        engine.local[IMAGE.reference] = (arch, {})

    return pull


def ensure(engine: FakeEngine, target: catalog.Target = NATIVE) -> images.Base:
    return images.ensure(IMAGE, target, cast(Engine, engine))


OFFLINE = refusing(RegistryUnreachable("no such host"))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sequence[str | Path]]]:
    """A process that has asked no registry yet; mmdebstrap is recorded and writes a small file."""
    monkeypatch.setattr(images, "_unreachable", {})
    monkeypatch.setattr(images, "_warned", set())
    monkeypatch.setattr(apt, "os_release", dict)
    calls: list[Sequence[str | Path]] = []

    def run(argv: Sequence[str | Path], **options: object) -> None:
        calls.append(argv)
        tar = next(Path(word) for word in map(str, argv) if word.endswith("rootfs.tar"))
        tar.write_text("root file system")

    monkeypatch.setattr(process, "run", run)
    yield calls


def test_an_image_that_is_there_is_not_pulled_again() -> None:
    engine = fake_engine(OFFLINE, {IMAGE.reference: (NATIVE.arch, {})})
    base = ensure(engine)
    assert (base.reference, base.origin, engine.pulls) == (IMAGE.reference, "registry", 0)


def test_an_image_is_pulled_for_the_right_architecture() -> None:
    engine = fake_engine(giving(NATIVE.arch), {IMAGE.reference: (FOREIGN.arch, {})})
    assert ensure(engine).origin == "registry"
    assert engine.pulls == 1


def test_a_registry_that_sends_another_architecture_is_an_error() -> None:
    with pytest.raises(WrongArchitecture) as caught:
        ensure(fake_engine(giving(FOREIGN.arch)))
    assert f"is for {FOREIGN.arch}, {NATIVE.arch} was asked for" in caught.value.message
    assert f"docker image rm {IMAGE.reference}" in caught.value.hint


def test_a_stand_in_is_made_when_the_registry_is_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = fake_engine(OFFLINE)
    base = ensure(engine)
    assert base.describe() == {"reference": TAG, "origin": "standin", "id": f"id of {TAG}"}
    assert engine.tagged == [TAG]
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "docker.io cannot be reached; Debian bullseye" in warnings[0]


def test_a_silent_registry_is_asked_once_in_a_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = fake_engine(OFFLINE)
    first, second = ensure(engine), ensure(engine)
    assert first == second
    assert (engine.pulls, engine.tagged) == (1, [TAG])
    assert capsys.readouterr().err.count("warning") == 1


def test_a_stand_in_that_is_there_is_used_again() -> None:
    engine = fake_engine(OFFLINE, {TAG: (NATIVE.arch, RECIPE)})
    assert ensure(engine).reference == TAG
    assert engine.tagged == []


def test_a_stand_in_of_another_recipe_is_made_anew() -> None:
    engine = fake_engine(OFFLINE, {TAG: (NATIVE.arch, {images.RECIPE: "bullseye main"})})
    ensure(engine)
    assert engine.tagged == [TAG]


def test_a_stand_in_of_the_wrong_architecture_is_an_error() -> None:
    with pytest.raises(WrongArchitecture, match=f"is for {FOREIGN.arch}"):
        ensure(fake_engine(OFFLINE, {TAG: (FOREIGN.arch, RECIPE)}))


def test_an_image_that_the_registry_lacks_is_not_replaced() -> None:
    engine = fake_engine(refusing(NoSuchImage("manifest unknown")))
    with pytest.raises(NoSuchImage):
        ensure(engine)
    assert engine.tagged == []


def test_a_stand_in_that_cannot_run_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, fresh: list[Sequence[str | Path]]
) -> None:
    monkeypatch.setattr(binfmt, "entry_for", lambda *_: None)
    with pytest.raises(HostError, match=f"cannot run {FOREIGN.arch} programs"):
        ensure(fake_engine(OFFLINE), FOREIGN)
    assert fresh == []


def test_too_little_space_is_found_before_the_work(
    monkeypatch: pytest.MonkeyPatch, fresh: list[Sequence[str | Path]]
) -> None:
    usage = shutil.disk_usage("/")._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFull, match="1,000 MB needed, 5 MB free"):
        ensure(fake_engine(OFFLINE))
    assert fresh == []


def test_packages_that_cannot_be_had_end_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(argv: object, **options: object) -> None:
        raise CommandFailed("mmdebstrap stopped with exit code 25: E: failed", returncode=25)

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(CommandFailed, match=r"no fallback image for .*failed") as caught:
        ensure(fake_engine(OFFLINE))
    assert "http_proxy" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("debian:trixie-slim", "docker.io"),
        ("library/debian", "docker.io"),
        ("registry.example/debian", "registry.example"),
        ("localhost:5000/debian", "localhost:5000"),
    ],
)
def test_the_registry_is_found_by_dockers_rule(name: str, registry: str) -> None:
    image = Image("x", name, IMAGE.digest, IMAGE.fallback)
    assert images.registry_of(image) == registry


def lines(fallback: FallbackImage, archives: Archives | None) -> list[str]:
    words = images.mmdebstrap(fallback, NATIVE, Path("/t/rootfs.tar"), archives, root=True)
    return [str(word) for word in words]


def test_mmdebstrap_gets_the_machine_s_archives_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(apt, "KEYRING", tmp_path / "not there")
    archives = Archives("http://mirror.example/debian/", "http://mirror.example/security/")
    assert lines(FallbackImage("trixie", ("main", "security")), archives)[-4:] == [
        "trixie",
        "/t/rootfs.tar",
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/security/ trixie-security main",
    ]


def test_packages_are_checked_against_debian_s_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keyring = tmp_path / "keys.gpg"
    keyring.touch()
    monkeypatch.setattr(apt, "KEYRING", keyring)
    given = apt.sources(
        FallbackImage("trixie", ("main",)), Archives("http://m.example/debian/", None)
    )
    assert given == [f"deb [signed-by={keyring}] http://m.example/debian/ trixie main"]


def test_mmdebstrap_s_own_archives_are_cut_to_the_row() -> None:
    words = lines(FallbackImage("bullseye", ("main",)), None)
    assert words[-2:] == ["bullseye", "/t/rootfs.tar"]
    hook = next(word for word in words if word.startswith("--setup-hook="))
    assert "bullseye[-/]security" in hook
    assert "bullseye[-/]updates" in hook
    assert not [
        w
        for w in lines(FallbackImage("trixie", ("main", "updates", "security")), None)
        if "hook" in w
    ]


ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb http://vendor.example/debian bookworm main
deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main non-free
deb http://mirror.example/debian bookworm-updates main
deb-src http://source.example/debian bookworm main
deb http://secure.example/debian-security bookworm-security main
"""
DEB822 = """\
Types: deb
URIs: http://vendor.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main non-free
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://secure.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")
@pytest.mark.parametrize(("name", "text"), [("x.list", ONE_LINE), ("x.sources", DEB822)])
def test_the_machines_own_archives_are_found_in_both_formats(
    tmp_path: Path, name: str, text: str
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / name).write_text(text)
    options = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}"]
    found = apt.debian_archives(apt.entries(options), "bookworm")
    assert found == Archives(
        "http://mirror.example/debian/", "http://secure.example/debian-security/"
    )


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")
def test_sources_that_apt_cannot_read_are_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.list").write_text("deb what\n")
    options = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={tmp_path}"]
    with pytest.raises(HostError, match="apt cannot read its sources"):
        apt.entries(options)


def test_a_machine_without_debian_archives_has_none() -> None:
    ubuntu = [Entry("http://mirror.example/ubuntu/", "noble", "main")]
    assert apt.debian_archives(ubuntu, "bookworm") is None


def test_a_machine_without_a_security_archive_does_without() -> None:
    found = apt.debian_archives([Entry("http://m.example/debian/", "trixie", "main")], "trixie")
    assert found == Archives("http://m.example/debian/", None)
    assert found is not None
    assert len(apt.sources(FallbackImage("trixie", ("main", "security")), found)) == 1


def test_tools_are_made_once_for_a_base_and_a_dockerfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases = ["sha256:0"]
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "ensure", lambda *_: images.Base("base:1", "registry", bases[0]))
    for folder in ("docker/lint", "docker/apt"):
        (tmp_path / folder).mkdir(parents=True)
    dockerfile = tmp_path / "docker/lint/Dockerfile"
    dockerfile.write_text("install one")
    engine = fake_engine(OFFLINE)
    first = images.tools("lint", cast(Engine, engine))
    assert images.tools("lint", cast(Engine, engine)) == first
    assert engine.tagged == [first]
    dockerfile.write_text("install two")
    second = images.tools("lint", cast(Engine, engine))
    bases[0] = "sha256:1"
    third = images.tools("lint", cast(Engine, engine))
    assert engine.tagged == [first, second, third]
    assert len({first, second, third}) == 3
