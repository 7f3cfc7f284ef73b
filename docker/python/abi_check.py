"""Writes C assertions: every ctypes struct has the size and offsets of the C struct it stands for.

The output is compiled against llama.cpp's headers with the target's compiler, so a pair of
llama-cpp-python and llama.cpp that do not fit each other stops the build, for any architecture.

Usage: python3 abi_check.py FOLDER_WITH_LLAMA_CPP INCLUDE_FOLDER > abi.c
"""

import ctypes
import importlib
import sys
import types
from pathlib import Path

HEADERS = ("ggml.h", "ggml-backend.h", "llama.h")

# Structs that llama-cpp-python 0.3.36 declares otherwise than its own llama.h, with the reason why
# that is harmless here. An entry that fits again is an error too, so that the list stays true.
NEVER_PASSED = {"llama_opt_params": "only for training, which no engine does"}

# What the_edge_agent/llm/repack.py declares itself: the beginning of a tensor, and parameters.
OWN = """\
_Static_assert(offsetof(struct ggml_tensor, type) == 0, "offset of ggml_tensor.type");
_Static_assert(sizeof(enum ggml_type) == 4, "size of ggml_type");
_Static_assert(offsetof(struct ggml_tensor, buffer) == 8, "offset of ggml_tensor.buffer");
_Static_assert(offsetof(struct ggml_init_params, mem_size) == 0, "offset of mem_size");
_Static_assert(offsetof(struct ggml_init_params, mem_buffer) == 8, "offset of mem_buffer");
_Static_assert(offsetof(struct ggml_init_params, no_alloc) == 16, "offset of no_alloc");
_Static_assert(sizeof(struct ggml_init_params) == 24, "size of ggml_init_params");
_Static_assert(GGML_BACKEND_DEVICE_TYPE_CPU == 0, "number of the CPU's device type");
_Static_assert(GGML_TYPE_F32 == 0 && GGML_TYPE_I32 == 26, "numbers of tensor types");
_Static_assert(GGML_TYPE_F16 == 1 && GGML_TYPE_Q8_0 == 8, "numbers of the cache's types");
"""


class AnyLibrary:
    """In place of the shared library: any function is there and returns 0."""

    def __getattr__(self, name):
        return lambda *args: 0


def bindings(folder: Path) -> types.ModuleType:
    """The ctypes layer, without the package's own __init__ and without a library."""
    package = types.ModuleType("llama_cpp")
    package.__path__ = [str(folder / "llama_cpp")]
    sys.modules["llama_cpp"] = package
    loader = importlib.import_module("llama_cpp._ctypes_extensions")
    loader.load_shared_library = lambda *args, **kwargs: AnyLibrary()
    return importlib.import_module("llama_cpp.llama_cpp")


def structs(module: types.ModuleType) -> list[type[ctypes.Structure]]:
    """Every complete struct of ``module``: a name without fields is an opaque pointer's."""
    found = {
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and getattr(value, "_fields_", None)
    }
    return sorted(found, key=lambda struct: struct.__name__)


def fields(struct: type[ctypes.Structure]) -> list[tuple[str, int]]:
    """Names and offsets. A union is anonymous in the headers: its members take its place."""
    found = []
    for name, kind, *_ in struct._fields_:
        offset = getattr(struct, name).offset
        if isinstance(kind, type) and issubclass(kind, ctypes.Union):
            found += [(member, offset) for member, *_ in kind._fields_]
        else:
            found.append((name, offset))
    return found


def assertions(struct: type[ctypes.Structure], header: str) -> list[str]:
    """One line a field and one for the size. C names: ``struct x``, or a typedef ``x``."""
    name = struct.__name__
    c_name = f"struct {name}" if f"struct {name}" in header else name
    lines = [f'_Static_assert(sizeof({c_name}) == {ctypes.sizeof(struct)}, "size of {name}");']
    for field, offset in fields(struct):
        lines.append(
            f'_Static_assert(offsetof({c_name}, {field}) == {offset}, "offset of {name}.{field}");'
        )
    return lines


def main() -> None:
    """Print the whole C file; fail when there is nothing to check."""
    include = Path(sys.argv[2])
    header = "\n".join((include / name).read_text() for name in HEADERS)
    found = structs(bindings(Path(sys.argv[1])))
    if len(found) < 5:
        sys.exit(f"abi_check: only {len(found)} structs found, the bindings have moved")
    print("#include <stddef.h>")
    for name in HEADERS:
        print(f'#include "{name}"')
    for struct in found:
        if struct.__name__ not in NEVER_PASSED:
            print("\n".join(assertions(struct, header)))
    print(OWN, end="")
    for name in NEVER_PASSED:
        size = ctypes.sizeof(next(struct for struct in found if struct.__name__ == name))
        print(f'_Static_assert(sizeof(struct {name}) != {size}, "{name} fits: check it again");')
    print(f"abi_check: {len(found)} structs", file=sys.stderr)


if __name__ == "__main__":
    main()
