"""Containers and builds on a real engine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tasks import catalog, images
from tasks.base.errors import (
    CommandFailed,
    ContainerTimeout,
    DiskFull,
    EngineError,
    HostError,
    NoSuchImage,
    RegistryUnreachable,
    WrongArchitecture,
)
from tasks.engine.containers import LABEL
from tasks.engine.engine import Engine, Mount

pytestmark = pytest.mark.integration

MEGABYTE = 1 << 20
TARGET = catalog.native_target()
FOREIGN = next(row for row in catalog.targets().values() if row != TARGET)

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS work
ARG WORD=none
RUN echo "$WORD" > /word
FROM work AS broken
RUN { echo before; echo "the cause"; } >&2; exit 3
FROM work AS full
RUN cat /word > /dev/full
FROM work AS secret
RUN --mount=type=secret,id=ca,target=/run/secrets/ca.pem \\
    wc -c < /run/secrets/ca.pem > /size; printenv https_proxy > /proxy || true
FROM scratch AS seen
COPY --from=secret /size /proxy /
FROM scratch AS export
COPY --from=work /word /
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect() as connected:
        yield connected


@pytest.fixture(scope="module")
def base(engine: Engine) -> str:
    return images.ensure(catalog.images()["smoke"], TARGET, engine).reference


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder / "Dockerfile"


def sh(engine: Engine, base: str, script: str) -> str:
    done = engine.run(base, ["sh", "-c", script], timeout=60)
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode()


def marked(mark: str) -> list[str]:
    """Ids of our containers, running or not, that have ``mark`` in their environment."""
    client = docker.from_env()
    try:
        ours = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
        return [str(box.id) for box in ours if f"MARK={mark}" in box.attrs["Config"]["Env"]]
    finally:
        client.close()


# --- containers


def test_output_comes_back_byte_for_byte_with_the_exit_code(engine: Engine, base: str) -> None:
    script = r"printf '\377\000no newline'; printf 'err\n' >&2; exit 42"
    done = engine.run(base, ["sh", "-c", script], timeout=60)
    assert (done.exit_code, done.stdout, done.stderr) == (42, b"\xff\x00no newline", b"err\n")


def test_a_large_input_comes_back_while_output_fills(engine: Engine, base: str) -> None:
    sent = os.urandom(4 * MEGABYTE)
    done = engine.run(base, ["cat"], stdin=sent, timeout=60)
    assert done.stdout == sent


def test_a_program_need_not_read_its_input(engine: Engine, base: str) -> None:
    done = engine.run(base, ["true"], stdin=bytes(4 * MEGABYTE), timeout=60)
    assert done.exit_code == 0


def test_a_container_has_no_network_unless_told(engine: Engine, base: str) -> None:
    assert sh(engine, base, "ls /sys/class/net").split() == ["lo"]


def test_limits_and_rights_are_as_asked(engine: Engine, base: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host")
    tmp_path.chmod(0o755)
    script = """
        id -u; nproc; pwd; echo "$WORD"; cat /given/file; echo
        touch /root-file 2>&1; touch /given/other 2>&1; df -k --output=size /tmp | tail -n 1
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
        cat /sys/fs/cgroup/cpu.max 2>/dev/null ||
            echo $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us)
    """
    done = engine.run(
        base,
        ["sh", "-c", script],
        target=TARGET,
        env={"WORD": "a b"},
        mounts=[Mount(tmp_path, "/given", read_only=True)],
        user="1000:1000",
        read_only=True,
        tmpfs={"/tmp": "size=64m"},
        cpus=0.5,
        cpuset="0",
        memory=256 * MEGABYTE,
        workdir="/usr",
        timeout=60,
    )
    lines = done.stdout.decode().splitlines()
    assert lines[:5] == ["1000", "1", "/usr", "a b", "from the host"]
    assert all("Read-only file system" in line for line in lines[5:7])
    assert lines[7].strip() == "65536"
    assert lines[8] == str(256 * MEGABYTE)
    assert lines[9] == "50000 100000"


@pytest.mark.parametrize(
    "script",
    ["echo last words; sleep 600", "exec >&- 2>&-; sleep 600"],
    ids=["hangs", "closes its output and hangs"],
)
def test_a_program_that_is_late_is_killed_and_leaves_nothing(
    engine: Engine, base: str, script: str
) -> None:
    mark = uuid.uuid4().hex
    with pytest.raises(ContainerTimeout, match=r"did not end in 1 s and was killed"):
        engine.run(base, ["sh", "-c", script], env={"MARK": mark}, timeout=1)
    assert marked(mark) == []


def test_a_missing_program_is_an_error_and_leaves_nothing(engine: Engine, base: str) -> None:
    mark = uuid.uuid4().hex
    with pytest.raises(EngineError, match=r"could not be started: .*no-such-program"):
        engine.run(base, ["no-such-program"], env={"MARK": mark}, timeout=60)
    assert marked(mark) == []


def test_an_image_that_is_not_there_is_never_pulled(engine: Engine) -> None:
    with pytest.raises(NoSuchImage):
        engine.run("tea-base/no-such-image", ["true"], timeout=60)


def test_image_of_another_architecture_is_its_own_error(engine: Engine, base: str) -> None:
    with pytest.raises(WrongArchitecture, match=f"is for {TARGET.arch}"):
        engine.run(base, ["true"], target=FOREIGN, timeout=60)


def test_a_container_keeps_its_state_until_the_block_ends(engine: Engine, base: str) -> None:
    mark = uuid.uuid4().hex
    with engine.container(base, env={"MARK": mark}) as box:
        assert box.exec(["sh", "-c", "echo state > /state"], timeout=60).exit_code == 0
        done = box.exec(["sh", "-c", "cat /state - >&2"], stdin=b"input", timeout=60)
        assert (done.stdout, done.stderr) == (b"", b"state\ninput")
        assert box.exec(["pwd"], workdir="/usr", user="1000", timeout=60).stdout == b"/usr\n"
        assert len(marked(mark)) == 1
    assert marked(mark) == []


def test_a_container_is_removed_when_the_block_fails(engine: Engine, base: str) -> None:
    mark = uuid.uuid4().hex
    with (
        pytest.raises(RuntimeError),
        engine.container(base, env={"MARK": mark}),
    ):
        raise RuntimeError
    assert marked(mark) == []


def test_a_late_program_in_a_lasting_container_ends_it(engine: Engine, base: str) -> None:
    with engine.container(base) as box:
        with pytest.raises(ContainerTimeout, match="sleep did not end"):
            box.exec(["sleep", "600"], timeout=1)
        with pytest.raises(EngineError):
            box.exec(["true"], timeout=60)


def test_a_volume_outlives_its_containers_and_not_its_block(engine: Engine, base: str) -> None:
    client = docker.from_env()
    with engine.volume() as volume:
        mounts = [Mount(volume, "/kept")]
        engine.run(base, ["sh", "-c", "echo 1 > /kept/x"], mounts=mounts, timeout=60)
        assert engine.run(base, ["cat", "/kept/x"], mounts=mounts, timeout=60).stdout == b"1\n"
        assert volume in {found.name for found in client.volumes.list()}
    assert volume not in {found.name for found in client.volumes.list()}
    client.close()


# --- images


def test_a_local_image_is_known_by_id_and_architecture(engine: Engine, base: str) -> None:
    assert str(engine.image_id(base)).startswith("sha256:")
    assert engine.image_arch(base) == TARGET.arch == engine.arch
    assert engine.image_id("tea-base/no-such-image") is None
    assert engine.image_arch("tea-base/no-such-image") is None


def test_a_registry_that_refuses_is_no_missing_image(engine: Engine) -> None:
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        engine.pull(f"localhost:1/image@sha256:{'0' * 64}", TARGET)


# --- builds


def build(engine: Engine, dockerfile: Path, base: str, stage: str, **more: Path | str) -> None:
    engine.build(
        dockerfile,
        context=dockerfile.parent,
        stage=stage,
        target=TARGET,
        args={"BASE": base, "WORD": str(more.get("word", "none"))},
        output=Path(more["output"]) if "output" in more else None,
        tag=str(more["tag"]) if "tag" in more else None,
    )


def test_a_stages_files_replace_the_output_folder(
    engine: Engine, dockerfile: Path, base: str, tmp_path: Path
) -> None:
    output = tmp_path / "out, with a comma"
    output.mkdir()
    (output / "old").touch()
    build(engine, dockerfile, base, "export", output=output, word="new")
    assert {path.name: path.read_text() for path in output.iterdir()} == {"word": "new\n"}
    assert {path.name for path in tmp_path.iterdir()} == {"context", output.name}


def test_a_failing_step_is_named_and_the_old_output_stays(
    engine: Engine, dockerfile: Path, base: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "old").touch()
    with pytest.raises(CommandFailed) as caught:
        build(engine, dockerfile, base, "broken", output=output)
    message = caught.value.message
    name = f"{dockerfile.parent.name}/Dockerfile"
    assert message.startswith(f"{name}: step [broken 1/1] RUN {{ echo before")
    assert message.endswith("the cause (exit code: 3)")
    assert "\n" not in message
    assert [path.name for path in output.iterdir()] == ["old"]


def test_a_disk_that_fills_up_during_a_build_is_told_as_that(
    engine: Engine, dockerfile: Path, base: str
) -> None:
    with pytest.raises(DiskFull):
        build(engine, dockerfile, base, "full")


def test_a_stage_becomes_a_local_image(engine: Engine, dockerfile: Path, base: str) -> None:
    tag = f"tea-base/test-{uuid.uuid4().hex[:8]}:latest"
    client = docker.from_env()
    try:
        build(engine, dockerfile, base, "work", tag=tag, word="tagged")
        assert sh(engine, tag, "cat /word") == "tagged\n"
    finally:
        client.images.remove(tag, force=True)
        client.close()


def test_a_build_step_gets_the_ca_bundle_and_the_proxy(
    dockerfile: Path, base: str, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x" * 321)
    extra = {"SSL_CERT_FILE": str(bundle), "https_proxy": "http://proxy.invalid:1"}
    with Engine.connect({**os.environ, **extra}) as engine:
        build(engine, dockerfile, base, "seen", output=tmp_path / "out")
    assert (tmp_path / "out" / "size").read_text().strip() == "321"
    assert (tmp_path / "out" / "proxy").read_text().strip() == "http://proxy.invalid:1"


def test_a_ca_bundle_that_is_not_there_is_told_before_the_build(
    dockerfile: Path, base: str, tmp_path: Path
) -> None:
    environ = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "none.pem")}
    with (
        Engine.connect(environ) as engine,
        pytest.raises(HostError, match=r"none\.pem, which is not a file"),
    ):
        build(engine, dockerfile, base, "work")
