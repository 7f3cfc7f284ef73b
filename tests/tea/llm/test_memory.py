from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tea.llm.gguf_files import Tensor, gguf
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import gguf as reader
from the_edge_agent.llm import memory
from the_edge_agent.llm.gguf import Gguf
from the_edge_agent.llm.memory import Available, LowMemory, Need

KIB = 1024
MEMINFO = "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable:    5000 kB\nSwapFree: 300 kB\n"
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
UNLIMITED = 9223372036854771712  # what version 1 says when there is no limit


def tree(root: Path, files: Mapping[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def version_2(root: Path, groups: Mapping[str, Mapping[str, object]]) -> Path:
    files = {
        f"sys/fs/cgroup/{group}/memory.{name}": content
        for group, facts in groups.items()
        for name, content in facts.items()
    }
    about = {"proc/meminfo": MEMINFO, "proc/self/mountinfo": V2, "proc/self/cgroup": "0::/a/b"}
    return tree(root, {**about, **files})


def version_1(root: Path, facts: Mapping[str, object]) -> Path:
    files = {f"sys/fs/cgroup/memory/x/memory.{name}": value for name, value in facts.items()}
    about = {"proc/meminfo": MEMINFO, "proc/self/mountinfo": V1, "proc/self/cgroup": "4:memory:/x"}
    return tree(root, {**about, **files})


@pytest.mark.parametrize(
    ("groups", "memory_kib", "with_swap_kib"),
    [
        ({}, 5000, 5300),
        ({"a/b": {"max": "max", "current": 77}}, 5000, 5300),
        ({"a/b": {"max": 3000 * KIB, "current": 1000 * KIB}}, 2000, 2300),
        (
            {
                "a/b": {
                    "max": 3000 * KIB,
                    "current": 1000 * KIB,
                    "stat": f"anon 5\ninactive_file {300 * KIB}\nactive_file {200 * KIB}",
                }
            },
            2500,
            2800,
        ),
        ({"a/b": {"max": 9000 * KIB, "high": 900 * KIB, "current": 0}}, 900, 1200),
        ({"a": {"max": 700 * KIB, "current": 0}, "a/b": {"max": "max", "current": 0}}, 700, 1000),
        (
            {
                "a/b": {
                    "max": 3000 * KIB,
                    "current": 1000 * KIB,
                    "swap.max": 50 * KIB,
                    "swap.current": 10 * KIB,
                }
            },
            2000,
            2040,
        ),
        ({"a/b": {"max": 100 * KIB, "current": 250 * KIB}}, 0, 150),
        ({"other": {"max": 100, "current": 0}}, 5000, 5300),
    ],
)
def test_the_tightest_limit_of_the_groups_of_version_2_counts(
    tmp_path: Path,
    groups: Mapping[str, Mapping[str, object]],
    memory_kib: int,
    with_swap_kib: int,
) -> None:
    free = memory.available(version_2(tmp_path, groups))
    assert free == Available(memory_kib * KIB, with_swap_kib * KIB)


@pytest.mark.parametrize(
    ("facts", "memory_kib", "with_swap_kib"),
    [
        ({"limit_in_bytes": UNLIMITED, "usage_in_bytes": 9}, 5000, 5300),
        (
            {
                "limit_in_bytes": 1000 * KIB,
                "usage_in_bytes": 600 * KIB,
                "stat": f"inactive_file 7\ntotal_inactive_file {100 * KIB}\n"
                f"total_active_file {50 * KIB}",
            },
            550,
            850,
        ),
        (
            {
                "limit_in_bytes": 1000 * KIB,
                "usage_in_bytes": 600 * KIB,
                "memsw.limit_in_bytes": 1000 * KIB,
                "memsw.usage_in_bytes": 600 * KIB,
            },
            400,
            400,
        ),
    ],
)
def test_the_limit_of_version_1_counts_without_cached_files(
    tmp_path: Path, facts: Mapping[str, object], memory_kib: int, with_swap_kib: int
) -> None:
    free = memory.available(version_1(tmp_path, facts))
    assert free == Available(memory_kib * KIB, with_swap_kib * KIB)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable: x kB\nSwapFree: 0 kB\n"])
def test_a_system_that_does_not_tell_is_not_guessed(tmp_path: Path, text: str) -> None:
    assert memory.available(tree(tmp_path, {"proc/meminfo": text})) is None


def head(tmp_path: Path, metadata: Mapping[str, object], *tensors: Tensor) -> Gguf:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf({"general.architecture": "x", **metadata}, tensors))
    return reader.read(path)


def matrix(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, 8, bytes(34 * math.prod(shape) // 32))


def test_matrices_are_multiplied_by_and_rows_are_looked_up(tmp_path: Path) -> None:
    tensors = (
        matrix("token_embd.weight", 32, 4),
        matrix("blk.0.attn_q.weight", 32, 2),
        matrix("blk.0.ffn_up_exps.weight", 32, 2, 2),
        matrix("blk.0.attn_q.bias", 32, 2),
        Tensor("blk.0.attn_norm.weight", (8,), 0, bytes(32)),
        Tensor("unknown.weight", (32, 2), 99, b""),
    )
    blocks = ["blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight"]
    tied = head(tmp_path, {}, *tensors)
    assert [t.name for t in memory.multiplied(tied)] == ["token_embd.weight", *blocks]
    own = head(tmp_path, {}, *tensors, matrix("output.weight", 32, 4))
    assert [t.name for t in memory.multiplied(own)] == [*blocks, "output.weight"]
    encoder = head(tmp_path, {"x.attention.causal": False}, *tensors)
    assert [t.name for t in memory.multiplied(encoder)] == blocks


SHAPE = {"x.block_count": 4, "x.embedding_length": 64, "x.attention.head_count": 8}


@pytest.mark.parametrize(
    ("more", "values"),
    [
        ({}, 4 * 8 * (8 + 8)),
        ({"x.attention.head_count_kv": 2}, 4 * 2 * (8 + 8)),
        ({"x.attention.head_count_kv": [1, 0, 2, 2]}, 5 * (8 + 8)),
        ({"x.attention.head_count_kv": 1, "x.attention.key_length": 16}, 4 * (16 + 8)),
        ({"x.attention.head_count_kv": 1, "x.attention.shared_kv_layers": 1}, 3 * (8 + 8)),
    ],
)
def test_the_cache_follows_from_the_shape(
    tmp_path: Path, more: Mapping[str, object], values: int
) -> None:
    facts = head(tmp_path, {**SHAPE, **more})
    needed = memory.need(facts, 1000, repacked=5)
    assert needed is not None
    assert (needed.repacked, needed.cache) == (5, values * 1024 * 2)
    half = memory.need(facts, 1000, repacked=5, cache_type="q8_0")
    assert half is not None
    assert half.cache == values * 1024 * 34 // 32


@pytest.mark.parametrize("missing", SHAPE)
def test_what_the_file_does_not_tell_is_not_guessed(tmp_path: Path, missing: str) -> None:
    shape = {key: value for key, value in SHAPE.items() if key != missing}
    assert memory.need(head(tmp_path, shape), 1000, repacked=0) is None


NEED = Need(repacked=1_000_000_000, cache=200_000_000, compute=50_000_000, program=50_000_000)
MB = 1_000_000


def free(mb: int, swap: int = 0) -> Available:
    return Available(mb * MB, (mb + swap) * MB)


@pytest.mark.parametrize(
    ("low_memory", "mb", "repack", "words"),
    [
        ("auto", 2400, True, []),
        ("auto", 1300, True, []),
        ("auto", 1299, False, ["a copy of them does not fit", "read again for each token"]),
        (True, 2400, False, ["low_memory says so"]),
        (True, 1399, False, ["low_memory says so", "read again for each token"]),
        (False, 1300, True, []),
    ],
)
def test_weights_are_repacked_where_there_is_room(
    tmp_path: Path, low_memory: LowMemory, mb: int, repack: bool, words: list[str]
) -> None:
    facts = replace(head(tmp_path, {}), size=1100 * MB)
    plan = memory.plan(facts, NEED, free(mb), low_memory, 8192)
    assert plan.repack == repack
    assert f"of {mb:,} MB that are free" in plan.remarks[0]
    assert len(plan.remarks) == 1 + len(words)
    for word, remark in zip(words, plan.remarks[1:], strict=True):
        assert word in remark


@pytest.mark.parametrize(
    ("low_memory", "mb", "hint"),
    [
        ("auto", 299, "a context of 7,936 tokens"),
        ("auto", 200, "a context of 4,096 tokens"),
        (True, 107, "a context of 256 tokens"),
        ("auto", 106, "raise the limit of the control group"),
        ("auto", 10, "raise the limit of the control group"),
        (False, 1299, "low_memory: auto"),
        (False, 200, "4,096 tokens would fit: set settings.llm.n_ctx to that, and low_memory to"),
    ],
)
def test_what_does_not_fit_is_an_error_with_what_would(
    tmp_path: Path, low_memory: LowMemory, mb: int, hint: str
) -> None:
    with pytest.raises(ModelError) as caught:
        memory.plan(head(tmp_path, {}), NEED, free(mb), low_memory, 8192)
    assert "for a context of 8,192 tokens" in caught.value.message
    assert f"and {mb:,} MB are free" in caught.value.message
    assert hint in caught.value.hint


def test_what_fits_with_swap_is_not_refused(tmp_path: Path) -> None:
    plan = memory.plan(head(tmp_path, {}), NEED, free(200, swap=100), "auto", 8192)
    assert not plan.repack
