"""How much of a model llama.cpp copies into an order that the CPU computes faster with.

Only ggml knows for which CPU it repacks what, so it is asked, as llama.cpp asks it when it loads
a model: may a multiplication by this matrix run on a buffer of this type?
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.gguf import Tensor

_CPU = 0  # GGML_BACKEND_DEVICE_TYPE_CPU
_F32, _I32 = 0, 26
_TOKENS = 512  # of the multiplication asked about, as many as llama.cpp asks about


class _InitParams(ctypes.Structure):
    """``ggml_init_params``."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class _TensorHead(ctypes.Structure):
    """The beginning of ``ggml_tensor``."""

    _fields_ = (("type", ctypes.c_int), ("buffer", ctypes.c_void_p))


class Repacker:
    """The buffer types that this CPU has for repacked weights."""

    def __init__(self, llama: Llama) -> None:
        self._ggml = ggml = _declare(llama.ggml)
        self._device = ggml.ggml_backend_dev_by_type(_CPU)
        registry = ggml.ggml_backend_dev_backend_reg(self._device)
        address = ggml.ggml_backend_reg_get_proc_address(
            registry, b"ggml_backend_dev_get_extra_bufts"
        )
        self._types: list[int] = []
        if address:
            ask = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)
            types = ask(self._device)
            for index in range(16):
                if not types or not types[index]:
                    break
                self._types.append(types[index] or 0)

    def repacked(self, matrices: Iterable[Tensor]) -> int:
        """Return the bytes that copies of ``matrices`` take, none for those that stay as they are.

        They must be such as ``memory.multiplied`` gives.
        """
        sizes: dict[tuple[int, tuple[int, ...]], int] = {}
        total = 0
        for matrix in matrices:
            key = (matrix.kind, matrix.shape)
            if key not in sizes:
                sizes[key] = self._repacked(*key)
            total += sizes[key]
        return total

    def _repacked(self, kind: int, shape: tuple[int, ...]) -> int:
        ggml = self._ggml
        params = _InitParams(8 * ggml.ggml_tensor_overhead(), None, True)
        context = ggml.ggml_init(params)
        try:
            weight = _new(ggml, context, kind, shape)
            if len(shape) == 2:
                other = _new(ggml, context, _F32, (shape[0], _TOKENS))
                product = ggml.ggml_mul_mat(context, weight, other)
            else:  # the experts of a mixture
                other = _new(ggml, context, _F32, (shape[0], 1, _TOKENS))
                chosen = _new(ggml, context, _I32, (1, _TOKENS))
                product = ggml.ggml_mul_mat_id(context, weight, other, chosen)
            for buffer_type in self._types:
                if self._supports(buffer_type, weight, product):
                    return int(ggml.ggml_backend_buft_get_alloc_size(buffer_type, weight))
            return 0
        finally:
            ggml.ggml_free(context)

    def _supports(self, buffer_type: int, weight: int, product: int) -> bool:
        head = _TensorHead.from_address(weight)
        head.buffer = self._ggml.ggml_backend_buft_alloc_buffer(buffer_type, 0)
        supported = bool(self._ggml.ggml_backend_dev_supports_op(self._device, product))
        self._ggml.ggml_backend_buffer_free(head.buffer)
        head.buffer = None
        return supported


def _new(ggml: Any, context: int, kind: int, shape: tuple[int, ...]) -> int:
    dimensions = (ctypes.c_int64 * len(shape))(*shape)
    tensor: int = ggml.ggml_new_tensor(context, kind, len(shape), dimensions)
    return tensor


def _declare(ggml: ctypes.CDLL) -> Any:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in (
        ("ggml_tensor_overhead", size, []),
        ("ggml_init", pointer, [_InitParams]),
        ("ggml_free", None, [pointer]),
        ("ggml_new_tensor", pointer, [pointer, ctypes.c_int, ctypes.c_int, pointer]),
        ("ggml_mul_mat", pointer, [pointer] * 3),
        ("ggml_mul_mat_id", pointer, [pointer] * 4),
        ("ggml_backend_dev_by_type", pointer, [ctypes.c_int]),
        ("ggml_backend_dev_backend_reg", pointer, [pointer]),
        ("ggml_backend_reg_get_proc_address", pointer, [pointer, ctypes.c_char_p]),
        ("ggml_backend_dev_supports_op", ctypes.c_bool, [pointer] * 2),
        ("ggml_backend_buft_alloc_buffer", pointer, [pointer, size]),
        ("ggml_backend_buft_get_alloc_size", size, [pointer] * 2),
        ("ggml_backend_buffer_free", None, [pointer]),
    ):
        function = getattr(ggml, name)
        function.restype = result
        function.argtypes = arguments
    return ggml
