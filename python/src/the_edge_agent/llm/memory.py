"""What memory a model needs to run, what there is, and what is done where it does not suffice.

Counted is what the kernel cannot take back: the copy of the weights that llama.cpp makes in an
order of its own, the cache of keys and values, the buffers of a computation, and the program. The
pages of the model's file are not: where they do not fit, they are read again, which is slow.

All sizes are in bytes; messages give MB of 10^6 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from the_edge_agent.errors import ModelError
from the_edge_agent.llm.control_groups import Group, groups, read
from the_edge_agent.llm.gguf import BLOCKS, Gguf, Tensor

CacheType = Literal["f16", "q8_0"]
LowMemory = Literal["auto"] | bool

BATCH = 512  # tokens of a prompt that are computed at a time
CACHE_TYPES: dict[CacheType, int] = {"f16": 1, "q8_0": 8}  # as ggml.h numbers them
_PER_ELEMENT = {"f16": 2.0, "q8_0": 34 / 32}  # bytes
_STEP = 256  # llama.cpp rounds a context up to a multiple of it, in tokens
# Measured with three models on two threads, see docs/performance.md.
PROGRAM = 18_000_000  # the program, its libraries' data and their smaller buffers
_PER_TEXT = 165  # of the vocabulary's tokens and merges: the text and its places in indices

# Tensors whose rows are looked up, and which nothing is multiplied by.
_LOOKED_UP = frozenset(
    f"{name}.weight"
    for name in ("token_embd", "per_layer_token_embd", "token_types", "position_embd")
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a model takes of memory that the kernel cannot take back."""

    repacked: int
    cache: int
    compute: int
    program: int

    @property
    def least(self) -> int:
        """What it takes when the weights stay as they are."""
        return self.cache + self.compute + self.program

    @property
    def most(self) -> int:
        """What it takes when the weights are repacked."""
        return self.least + self.repacked


@dataclass(frozen=True, slots=True)
class Available:
    """What can be had without swapping, and with it."""

    memory: int
    with_swap: int


def multiplied(head: Gguf) -> Iterator[Tensor]:
    """Yield the matrices that vectors are multiplied by, which llama.cpp may repack."""
    causal = head.metadata.get(f"{head.architecture}.attention.causal", True)
    tied = causal and all(tensor.name != "output.weight" for tensor in head.tensors)
    for tensor in head.tensors:
        looked_up = tensor.name in _LOOKED_UP and not (tied and tensor.name == "token_embd.weight")
        # With three dimensions it is the matrices of several experts.
        is_matrix = len(tensor.shape) in (2, 3) and tensor.kind in BLOCKS
        if tensor.name.endswith(".weight") and not looked_up and is_matrix:
            yield tensor


def need(
    head: Gguf,
    n_ctx: int,
    *,
    repacked: int,
    cache_type: CacheType = "f16",
    batch: int = BATCH,
    program: int = PROGRAM,
) -> Need | None:
    """Return what the model needs for ``n_ctx`` tokens, None where its file does not tell.

    ``repacked`` is what the copy of ``multiplied`` takes, ``program`` what the program takes
    without a model.
    """
    layers, width = _number(head, "block_count"), _number(head, "embedding_length")
    cells = -(-n_ctx // _STEP) * _STEP
    values = _cached_values(head)
    if layers is None or width is None or values is None:
        return None
    widest = max(_per_layer(head, "feed_forward_length", 1), default=0)
    vocabulary = next((t.shape[-1] for t in head.tensors if t.name == "token_embd.weight"), 0)
    # Which tokens see which, once in 32 bits and once in 16; again where a window slides.
    masks = 6 * cells * (2 if _number(head, "attention.sliding_window") else 1)
    # The widest step of a layer holds two vectors of the feed-forward network and six of the
    # model's width; the input of its multiplication is held in 8 bits too.
    vectors = 4 * (2 * widest + 6 * width) + widest
    return Need(
        repacked=repacked,
        cache=int(values * cells * _PER_ELEMENT[cache_type]),
        compute=min(batch, cells) * (vectors + masks) + 4 * vocabulary,
        program=program + _PER_TEXT * head.texts,
    )


def _cached_values(head: Gguf) -> int | None:
    """Return how many numbers the cache holds for each token, in all layers.

    Windows that slide are kept whole: only so can a conversation go back to what it shares.
    """
    layers, heads = _number(head, "block_count"), _per_layer(head, "attention.head_count", 1)
    width = _number(head, "embedding_length")
    if layers is None or not heads or not heads[0] or width is None:
        return None
    shared = _number(head, "attention.shared_kv_layers") or 0
    kept = _per_layer(head, "attention.head_count_kv", layers) or [heads[0]] * layers
    key = _number(head, "attention.key_length") or width // heads[0]
    value = _number(head, "attention.value_length") or width // heads[0]
    return sum(kept[: layers - shared]) * (key + value)


def _number(head: Gguf, key: str) -> int | None:
    value = head.metadata.get(f"{head.architecture}.{key}")
    return value if isinstance(value, int) and value > 0 else None


def _per_layer(head: Gguf, key: str, layers: int) -> list[int]:
    """Return a number for each layer, whether the file gives one for all or one for each."""
    value = head.metadata.get(f"{head.architecture}.{key}")
    if isinstance(value, tuple):
        return [int(each) for each in value]
    return [value] * layers if isinstance(value, int) else []


def available(root: Path = Path("/")) -> Available | None:
    """Return what there is for this process, None where the system does not tell.

    That is the least of what the machine has and of what each control group leaves; what the
    kernel keeps of files counts as free. ``root`` is where proc and sys are found.
    """
    facts = {name: int(rest.split()[0]) for name, rest in _lines(read(root / "proc/meminfo"), ":")}
    try:
        memory, swap = (facts[name] * 1024 for name in ("MemAvailable", "SwapFree"))
    except KeyError:
        return None
    with_swap = memory + swap
    for group in groups("memory", root):
        free = _free(group, swap)
        if free is not None:
            memory, with_swap = min(memory, free.memory), min(with_swap, free.with_swap)
    return Available(max(0, memory), max(0, with_swap))


def _free(group: Group, swap: int) -> Available | None:
    """Return what a group leaves, None where it has no limit; ``swap`` is all that there is."""
    stat = {name: int(rest) for name, rest in _lines(read(group.folder / "memory.stat"), " ")}
    if group.version == 2:
        room = _room(group, ("memory.max", "memory.high"), "memory.current")
        files = stat.get("inactive_file", 0) + stat.get("active_file", 0)
        swap_room = _room(group, ("memory.swap.max",), "memory.swap.current")
    else:
        room = _room(group, ("memory.limit_in_bytes",), "memory.usage_in_bytes")
        files = stat.get("total_inactive_file", 0) + stat.get("total_active_file", 0)
        both = _room(group, ("memory.memsw.limit_in_bytes",), "memory.memsw.usage_in_bytes")
        swap_room = None if both is None or room is None else both - room
    if room is None:
        return None
    if swap_room is not None:
        swap = max(0, min(swap, swap_room))
    return Available(room + files, room + files + swap)


def _room(group: Group, limits: tuple[str, ...], usage: str) -> int | None:
    """Return the least of the limits less what is used; None where there is no limit."""
    found = [limit for limit in (_bytes(group, name) for name in limits) if limit is not None]
    used = _bytes(group, usage)
    return min(found) - used if found and used is not None else None


def _bytes(group: Group, name: str) -> int | None:
    text = read(group.folder / name)
    return int(text) if text.isdecimal() else None  # no such file, or "max"


def _lines(text: str, separator: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, rest = line.partition(separator)
        if rest.strip()[:1].isdecimal():
            yield name, rest


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done: whether the weights are repacked, and what there is to say of it."""

    repack: bool
    remarks: tuple[str, ...] = ()


def plan(head: Gguf, needed: Need, free: Available, low_memory: LowMemory, n_ctx: int) -> Plan:
    """Decide whether the weights are repacked, which makes a model fast and large.

    Raises:
        ModelError: it does not fit, with weights repacked or not as ``low_memory`` has it.
    """
    repack = needed.most <= free.memory if low_memory == "auto" else not low_memory
    wanted = needed.most if repack else needed.least
    if wanted > free.with_swap:
        raise _too_large(needed, free, repack, n_ctx)
    remarks = [f"memory: {_parts(needed, repack)} of {_mb(free.memory)} that are free"]
    if not repack and needed.repacked:
        why = "low_memory says so" if low_memory is True else "a copy of them does not fit"
        remarks.append(
            f"memory: weights are not repacked, which is slower: {why}"
            f" ({_mb(needed.repacked)} more)"
        )
    if not repack and needed.least + head.size > free.memory:
        remarks.append(
            f"memory: the model's file of {_mb(head.size)} does not fit beside that:"
            " it is read again for each token, which is slow"
        )
    return Plan(repack, tuple(remarks))


def largest_context(needed: Need, free: Available, n_ctx: int, *, repack: bool) -> int | None:
    """Return the most tokens, up to ``n_ctx``, whose cache fits; None where not even 256 do."""
    cells = -(-n_ctx // _STEP) * _STEP
    fixed = (needed.most if repack else needed.least) - needed.cache
    if not needed.cache:
        return n_ctx if fixed <= free.with_swap else None
    steps = (free.with_swap - fixed) * (cells // _STEP) // needed.cache
    return min(n_ctx, steps * _STEP) if steps > 0 else None


def _too_large(needed: Need, free: Available, repack: bool, n_ctx: int) -> ModelError:
    fits = largest_context(needed, free, n_ctx, repack=False)
    if repack and fits == n_ctx:
        hint = "it fits with settings.llm.low_memory: auto, which leaves the weights as they are"
    elif fits is not None:
        auto = ", and low_memory to auto" if repack else ""
        hint = f"a context of {fits:,} tokens would fit: set settings.llm.n_ctx to that{auto}"
    else:
        hint = "end other programs, or raise the limit of the control group"
    return ModelError(
        f"there is not enough memory for a context of {n_ctx:,} tokens:"
        f" {_parts(needed, repack)}, and {_mb(free.with_swap)} are free",
        hint=hint,
    )


def _parts(needed: Need, repack: bool) -> str:
    copy = f"repacked weights {_mb(needed.repacked)}, " if repack and needed.repacked else ""
    return (
        f"{_mb(needed.most if repack else needed.least)} ({copy}cache {_mb(needed.cache)},"
        f" computing {_mb(needed.compute)}, program {_mb(needed.program)})"
    )


def _mb(size: int) -> str:
    return f"{-(-size // 1_000_000):,} MB"
