"""One loopback Hub for all tests of the fetch, and an environment that is the test's alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.fetch.ensure import FetchOptions
from tests.support import fetching, loopback
from tests.support.fetching import Waits
from tests.support.loopback import LoopbackHub


@pytest.fixture(scope="session")
def running_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    with loopback.running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def hub(running_hub: LoopbackHub) -> LoopbackHub:
    """The Hub with the small model in two repositories, and no fault."""
    for repo in (fetching.REPO, fetching.MIRROR):
        running_hub.serve(f"{repo}/{fetching.FILE}", fetching.CONTENT)
    running_hub.plan()
    return running_hub


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def chosen(hub: LoopbackHub, store: Path, waits: Waits) -> FetchOptions:
    return fetching.options(hub, store, waits)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither this machine's token nor its proxies and certificates."""
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (*proxies, *(name.upper() for name in proxies), "HF_TOKEN", "HF_ENDPOINT", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HUB_OFFLINE", "SSL_CERT_FILE", "SSL_CERT_DIR", "TEA_BUNDLES_LOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub.utils import close_session  # type: ignore[attr-defined]

    close_session()
    yield
    close_session()
