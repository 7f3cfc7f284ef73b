"""Which answers of a server are worth another try."""

from __future__ import annotations

import httpx2
import pytest

from tasks.base.errors import FetchError
from tasks.fetch import hub
from tasks.fetch.retry import TransientError
from tests.support import fetching


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_status_that_passes_is_tried_again(status: int) -> None:
    assert isinstance(refused(status), TransientError)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501])
def test_status_that_stays_is_final(status: int) -> None:
    assert isinstance(refused(status), FetchError)


def refused(status: int) -> FetchError | TransientError:
    request = httpx2.Request("GET", "https://hub.example/owner/name/resolve/main/model.gguf")
    response = httpx2.Response(status, request=request)
    return hub.refusal(response, fetching.source(), "https://hub.example", now=0.0)
