import pytest

from tasks.base.errors import BenchFailed
from tasks.bench.memory import context_bytes

LOG = """\
load_tensors:   CPU_Mapped model buffer size =    93.73 MiB
llama_context:        CPU  output buffer size =     0.25 MiB
llama_kv_cache:        CPU KV buffer size =   180.00 MiB
sched_reserve:        CPU compute buffer size =    98.50 MiB
"""


def test_a_context_is_its_cache_and_the_graph_s_buffers() -> None:
    assert context_bytes(LOG) == round((0.25 + 180.0 + 98.5) * 1024 * 1024)


def test_a_log_without_a_cache_is_refused_with_its_end() -> None:
    with pytest.raises(BenchFailed, match="how large its context is") as caught:
        context_bytes("nothing was loaded")
    assert caught.value.hint == "nothing was loaded"
