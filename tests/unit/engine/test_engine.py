"""How the engine is reached, what builds are told, and what errors are made of; no Docker."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from tasks import catalog
from tasks.base.errors import (
    DiskFull,
    EngineDenied,
    EngineTooOld,
    NoBuildx,
    NoEngine,
    NoSuchImage,
    NotWritable,
    RegistryUnreachable,
    TaskError,
)
from tasks.engine import buildx, connect
from tasks.engine import engine as engine_module
from tasks.engine.buildx import BuildOptions, Log
from tasks.engine.engine import Engine

AMD64 = catalog.target("x86_64")
ARM64 = catalog.target("aarch64")
NOBODY = 65534
PLAIN = BuildOptions()


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path, as sockets need."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def serve(place: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """Start a server that says it is an engine of a given API version; returns its environment."""
    servers: list[UnixStreamServer] = []

    def start(api: str) -> dict[str, str]:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"ApiVersion": api, "Version": "9.9"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "test"

            def log_message(self, *args: object) -> None:
                pass

        server = UnixStreamServer(str(place / "engine.sock"), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return {"DOCKER_HOST": f"unix://{place}/engine.sock", "PATH": os.environ["PATH"]}

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def failure(environ: dict[str, str]) -> TaskError:
    with pytest.raises(TaskError) as caught:
        Engine.connect(environ)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_socket_that_is_not_there_is_no_engine(tmp_path: Path) -> None:
    error = failure({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert type(error) is NoEngine
    assert f"DOCKER_HOST=unix://{tmp_path}/none.sock (No such file or directory)" in error.message
    assert "unset it" in error.hint


def test_a_socket_with_nobody_behind_it_is_no_engine(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "dead.sock"))
    error = failure({"DOCKER_HOST": f"unix://{place}/dead.sock"})
    assert type(error) is NoEngine
    assert "Connection refused" in error.message


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_a_wrong_docker_host_is_named_in_the_error(host: str) -> None:
    error = failure({"DOCKER_HOST": host})
    assert type(error) is NoEngine
    assert f"DOCKER_HOST={host}" in error.message


def test_an_engine_on_another_machine_is_refused() -> None:
    error = failure({"DOCKER_HOST": "ssh://somebody@somewhere"})
    assert type(error) is NoEngine
    assert "another machine" in error.message
    assert "--builder" in error.hint


def test_an_unknown_context_is_not_silently_the_local_engine() -> None:
    error = failure({"DOCKER_CONTEXT": "no-such-context"})
    assert type(error) is NoEngine
    assert "'no-such-context'" in error.message


def test_a_forbidden_socket_tells_how_to_join_the_group(place: Path) -> None:
    as_root = os.geteuid() == 0
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "closed.sock"))
        server.listen()
        (place / "closed.sock").chmod(0o600 if as_root else 0o000)
        # Every folder above can be entered, so that the socket alone says no.
        for folder in (place, *place.parents):
            if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest-", "s")):
                folder.chmod(folder.stat().st_mode | 0o011)
        if as_root:
            os.seteuid(NOBODY)
        try:
            error = failure({"DOCKER_HOST": f"unix://{place}/closed.sock"})
        finally:
            if as_root:
                os.seteuid(0)
    assert type(error) is EngineDenied
    assert "usermod -aG docker" in error.hint


def test_an_engine_older_than_named_build_contexts_is_too_old(
    serve: Callable[[str], dict[str, str]],
) -> None:
    error = failure(serve("1.41"))
    assert type(error) is EngineTooOld
    assert "9.9 is too old: 23.0 or newer" in error.message


@pytest.mark.parametrize("script", [None, "#!/bin/sh\nexit 1\n"], ids=["no docker", "no plugin"])
def test_a_missing_buildx_is_told_apart_from_no_engine(
    serve: Callable[[str], dict[str, str]], tmp_path: Path, script: str | None
) -> None:
    environ = {**serve("1.45"), "PATH": str(tmp_path)}
    if script:
        (tmp_path / "docker").write_text(script)
        (tmp_path / "docker").chmod(0o755)
    error = failure(environ)
    assert type(error) is NoBuildx
    assert "host -- --install" in error.hint


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("github.com/docker/buildx v0.9.1 ed00243a0ce2", "is too old: github.com/docker/buildx"),
        ("github.com/docker/buildx 0.8.2+ds1 0.8.2+ds1-1", "0.10 or newer is needed"),
        ("buildah 1.39.3", "builds with buildah 1.39.3"),
        ("github.com/docker/buildx v0.10.0 1", None),
        ("github.com/docker/buildx v1.2.0 1", None),
        ("github.com/docker/buildx library-import ", None),  # a build that was told no version
    ],
)
def test_a_buildx_that_cannot_build_is_told_with_version(
    said: str, told: str | None, serve: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    environ = {**serve("1.45"), "PATH": str(tmp_path)}
    (tmp_path / "docker").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "docker").chmod(0o755)
    if told is None:
        connect.check_buildx(environ)
        return
    error = failure(environ)
    assert type(error) is NoBuildx
    assert told in error.message
    assert "host -- --install" in error.hint


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (
            'Get "https://r/v2/": dial tcp: lookup r on 10.0.0.1:53: no such host',
            RegistryUnreachable,
        ),
        (
            'Get "https://r/v2/": dial tcp 1.2.3.4:443: connect: connection refused',
            RegistryUnreachable,
        ),
        ("net/http: request canceled (Client.Timeout exceeded)", RegistryUnreachable),
        ("toomanyrequests: You have reached your pull rate limit", RegistryUnreachable),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryUnreachable),
        ("lookup r: host not found", RegistryUnreachable),
        ("manifest for ubuntu@sha256:0 not found: manifest unknown", NoSuchImage),
        ("pull access denied for x, repository does not exist", NoSuchImage),
        ("no matching manifest for linux/arm64 in the manifest list entries", NoSuchImage),
        ("filesystem layer verification failed for digest sha256:0", NoSuchImage),
        ("write /var/lib/docker/tmp/x: no space left on device", DiskFull),
    ],
)
def test_only_an_answer_about_the_image_is_final(said: str, kind: type[TaskError]) -> None:
    error = connect.explain_pull("image@sha256:0", said)
    assert type(error) is kind


def words(environ: dict[str, str], options: BuildOptions = PLAIN) -> list[str]:
    return buildx.command(
        Path("/d/x.Dockerfile"),
        context=Path("/c"),
        stage="export",
        target=ARM64,
        args={"BASE": "b"},
        contexts={"llama": Path("/l")},
        options=options,
        environ=environ,
        output=Path("/out,1"),
        tag=None,
    )


def after(argv: list[str], name: str) -> list[str]:
    return [value for flag, value in pairwise(argv) if flag == name]


def test_a_build_is_for_the_target_on_the_host_s_network() -> None:
    argv = words({})
    assert after(argv, "--platform") == ["linux/arm64"]
    assert after(argv, "--network") == ["host"]
    assert after(argv, "--build-context") == ["llama=/l"]
    assert argv[-1] == "/c"


def test_a_dockerfile_is_told_what_each_tool_calls_the_target() -> None:
    given = dict(word.split("=", 1) for word in after(words({}), "--build-arg"))
    assert given["TARGET_GNU"] == "aarch64-linux-gnu"
    assert given["TARGET_BRANCH_PROTECTION"] == "-mbranch-protection=standard"
    assert given["TARGET_BACKENDS_LEFT_OUT"] == ""


def test_a_comma_in_a_path_does_not_end_it() -> None:
    assert after(words({}), "--output") == ['type=local,"dest=/out,1"']


def test_proxies_are_passed_by_name_and_show_no_password() -> None:
    argv = words({"https_proxy": "http://me:secret@proxy", "SOURCE_DATE_EPOCH": "1", "HOME": "/h"})
    given = after(argv, "--build-arg")
    assert given[-3:] == ["BASE=b", "https_proxy", "SOURCE_DATE_EPOCH"]
    assert "secret" not in " ".join(argv)


def test_the_ca_bundle_becomes_a_secret_only_where_it_is_set() -> None:
    assert after(words({"SSL_CERT_FILE": "/ca.pem"}), "--secret") == ["id=ca,src=/ca.pem"]
    assert after(words({}), "--secret") == []


def test_options_of_the_builder_and_its_caches_are_handed_on() -> None:
    argv = words({}, BuildOptions("far", ("type=registry,ref=r",), ("type=inline",), no_cache=True))
    assert after(argv, "--builder") == ["far"]
    assert after(argv, "--cache-from") == ["type=registry,ref=r"]
    assert after(argv, "--cache-to") == ["type=inline"]
    assert "--no-cache" in argv
    assert {"FRESH=1", "CCACHE_RECACHE=1"} <= set(argv)  # nor a compiler's own cache


def read(text: str, clock: Callable[[], float] = lambda: 0.0) -> tuple[Log, list[str]]:
    shown: list[str] = []
    log = Log(shown.append, clock)
    for line in text.splitlines():
        log.line(line)
    return log, shown


FAILED_STEP = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#6 [two 1/1] RUN make
#6 0.046 compiling
#5 [one 1/1] RUN other
#5 0.1 still fine
#6 0.047 fatal: no rule
#6 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2
------
 > [two 1/1] RUN make:
------
ERROR: failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2"""


def test_a_failing_step_is_named_with_its_own_last_line() -> None:
    failure = read(FAILED_STEP)[0].failure(Path("/d/x.Dockerfile"))
    assert failure.cause == "d/x.Dockerfile: step [two 1/1] RUN make: fatal: no rule (exit code: 2)"
    assert failure.output == ("compiling", "fatal: no rule")
    assert not failure.disk_full


@pytest.mark.parametrize(
    ("line", "cause", "hint"),
    [
        ("unknown flag: --provenance", "unknown flag: --provenance", "0.10 or newer"),
        ('ERROR: no builder "x" found', 'no builder "x" found', "docker buildx ls"),
        (
            "ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: FOO",
            "dockerfile parse error on line 2: unknown instruction: FOO",
            "",
        ),
        (
            "ERROR: failed to solve: granting entitlement network.host is not allowed by build",
            "granting entitlement network.host is not allowed by build",
            "allow-insecure-entitlement",
        ),
        (
            "ERROR: failed to solve: b: failed to resolve source metadata for b: no such host",
            "b: failed to resolve source metadata for b: no such host",
            "fallback image",
        ),
    ],
)
def test_a_failure_outside_of_a_step_keeps_the_builders_reason(
    line: str, cause: str, hint: str
) -> None:
    failure = read(line)[0].failure(Path("D"))
    assert failure.cause == f"D: {cause}"
    assert hint in failure.hint
    assert bool(hint) == bool(failure.hint)


@pytest.mark.parametrize(
    "line",
    [
        "#6 0.053 exec /prog: exec format error",
        "ERROR: failed to solve: debian: no match for platform in manifest: not found",
        "ERROR: Multi-platform build is not supported for the docker driver.",
    ],
)
def test_a_builder_without_the_platform_is_no_failing_step(line: str) -> None:
    # The step's own last line counts, whatever the builder makes of it.
    text = f"#6 [one 2/2] RUN /prog\n{line}\n#6 ERROR: process did not complete: exit code: 1"
    assert read(text)[0].failure(Path("D")).platform
    assert not read(FAILED_STEP)[0].failure(Path("D")).platform


def test_a_failing_internal_step_is_not_named() -> None:
    text = (
        "#2 [internal] load metadata for b\n#2 ERROR: no such host\nERROR: failed to solve: b: no"
    )
    assert read(text)[0].failure(Path("D")).cause == "D: b: no"


@pytest.mark.parametrize(
    "line",
    [
        "#6 1.5 cc1: fatal error: a.o: No space left on device",
        "#6 1.5 E: You don't have enough free space in /var/cache/apt/archives/.",
        "ERROR: failed to solve: mkdir /var/lib/docker/x: no space left on device",
    ],
)
def test_a_full_disk_is_recognised_wherever_it_is_said(line: str) -> None:
    assert read(line)[0].failure(Path("D")).disk_full


def test_steps_are_shown_once_and_internal_ones_never() -> None:
    text = "#1 [internal] load\n#2 [a 1/2] FROM b\n#2 CACHED\n#3 [a 2/2] RUN x\n#3 [a 2/2] RUN x"
    assert read(text)[1] == [
        "[a 1/2] FROM b",
        "[a 1/2] unchanged, taken from the build cache",
        "[a 2/2] RUN x",
    ]


def test_a_long_step_shows_its_newest_line_every_few_seconds() -> None:
    times = iter([0.0, 1.0, buildx.SHOW_EVERY, buildx.SHOW_EVERY + 1])
    text = "#3 [a 1/1] RUN x\n#3 1.0 one\n#3 5.0 two\n#3 6.0 three\n#3 DONE 6.1s"
    shown = read(text, lambda: next(times))[1]
    assert shown == ["[a 1/1] RUN x", "[a 1/1] two", "[a 1/1] done in 6.1 s"]


def test_an_output_folder_is_replaced_whole(tmp_path: Path) -> None:
    output = tmp_path / "tree"
    output.mkdir()
    (output / "old").touch()
    with engine_module._replacing(output) as fresh:
        assert fresh is not None
        (fresh / "new").touch()
        assert (output / "old").exists()
    assert [path.name for path in output.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_a_failed_build_leaves_the_old_output_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "tree"
    output.mkdir()
    (output / "old").touch()
    with pytest.raises(RuntimeError), engine_module._replacing(output) as fresh:
        assert fresh is not None
        (fresh / "new").touch()
        raise RuntimeError
    assert [path.name for path in output.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_an_unwritable_output_is_told_before_the_build(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(NotWritable, match="file: not writable"),
        engine_module._replacing(tmp_path / "file" / "out"),
    ):
        pytest.fail("the build was run")
