"""llama.cpp through the ctypes layer of llama-cpp-python, and nothing else of that package.

The package's ``__init__`` imports numpy and much more; what is wanted here is one module of it.
The libraries come from ``TEA_LIBRARY_PATH`` (a bundle sets it to its own folder), else from the
``lib`` folder of the installed package. llama.cpp is built with one loadable module for each
generation of CPUs, so the fitting one must be loaded before the first model.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from the_edge_agent.errors import ModelError

LIBRARY_PATH = "TEA_LIBRARY_PATH"

# ggml's log levels
_INFO, _ERROR, _CONTINUED = 2, 4, 5
_KEPT_ERRORS = 10
# What llama.cpp puts before a reason: the name of its function, and what it was about to do.
_BEFORE_REASON = re.compile(r"\A(?:\w+: )*(?:error loading model: )?")
# In the order in which they need each other; OpenMP only where it lies beside them.
_LIBRARIES = ("libgomp", "libggml-base", "libggml", "libllama")


class ErrorLog:
    """The first error lines of llama.cpp since they were cleared."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """Note a line, or a piece of one."""
        if len(self._pieces) < _KEPT_ERRORS:
            self._pieces.append(piece)

    def clear(self) -> None:
        """Forget what came so far: a failure from now on has another reason."""
        self._pieces.clear()

    def reason(self) -> str:
        """Return the first line, without its preamble: those after it only report it upwards."""
        lines = "".join(self._pieces).strip().splitlines()
        return _BEFORE_REASON.sub("", lines[0]) if lines else "it gives no reason"


class Llama:
    """The loaded library. ``c`` has llama.cpp's functions under their own names."""

    def __init__(self, directory: Path, log: Callable[[str], None] | None) -> None:
        """Load the libraries in ``directory``; ``log`` gets llama.cpp's own lines.

        Raises:
            ModelError: a library is missing or damaged, or fits neither this machine nor the
                Python package.
        """
        self._log = log
        self._log_level = 0
        self.errors = ErrorLog()
        libraries = _open_libraries(directory)
        self.c: Any = _import_functions(libraries["libllama"])
        # Both must live as long as the library may call them.
        self._log_callback = self.c.llama_log_callback(self._on_log)
        self.c.llama_log_set(self._log_callback, None)
        self.ggml = ggml = libraries["libggml"]
        ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
        ggml.ggml_backend_load_all_from_path.restype = None
        ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
        ggml.ggml_backend_load_all_from_path(os.fsencode(directory))
        if ggml.ggml_backend_dev_count() == 0:
            raise ModelError(f"no part of llama.cpp in {directory} fits this machine's CPU")
        self.c.llama_backend_init()

    def cpu_backend(self) -> str:
        """Return the name of the CPU module in use, such as ``libggml-cpu-haswell.so``."""
        found = re.search(r"/(libggml-cpu[^/\n]*)", _maps())
        return found[1] if found else "unknown"

    def _on_log(self, level: int, text: bytes, _data: object) -> None:
        if level != _CONTINUED:
            self._log_level = level
        line = text.decode("utf-8", "replace")
        if self._log_level >= _ERROR:
            self.errors.add(line)
        if self._log is not None and self._log_level >= _INFO:
            self._log(line)


_loaded: Llama | None = None


def load(log: Callable[[str], None] | None = None) -> Llama:
    """Return the library, loaded at the first call; ``log`` counts at that call only.

    Raises:
        ModelError: as ``Llama``.
    """
    global _loaded  # noqa: PLW0603  # a library can be loaded into a process only once
    if _loaded is None:
        _loaded = Llama(library_directory(), log)
    return _loaded


def library_directory() -> Path:
    """Return the folder of llama.cpp's libraries.

    Raises:
        ModelError: llama-cpp-python is not installed and TEA_LIBRARY_PATH is not set.
    """
    named = os.environ.get(LIBRARY_PATH)
    return Path(named).absolute() if named else _package_directory() / "lib"


def _package_directory() -> Path:
    spec = importlib.util.find_spec("llama_cpp") if "llama_cpp" not in sys.modules else None
    places = (
        spec.submodule_search_locations
        if spec
        else getattr(sys.modules.get("llama_cpp"), "__path__", None)
    )
    if not places:
        raise ModelError(
            "local models need llama-cpp-python, which is not installed",
            hint="pip install llama-cpp-python, or use a bundle of tea",
        )
    return Path(next(iter(places)))


def _open_libraries(directory: Path) -> dict[str, ctypes.CDLL]:
    """Open each library by its full path, so that those that need it find it in memory.

    No search path is needed then, and none leaks into programs that are started from here.
    """
    libraries = {}
    for name in _LIBRARIES:
        files = sorted(directory.glob(f"{name}.so*"))
        if not files:
            if name == "libgomp":
                continue
            raise ModelError(
                f"llama.cpp is not complete: {name}.so is not in {directory}",
                hint=f"set {LIBRARY_PATH} to the folder that has it",
            )
        try:
            libraries[name] = ctypes.CDLL(str(files[0]), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise ModelError(f"llama.cpp cannot be loaded: {error}") from error
    return libraries


def _import_functions(library: ctypes.CDLL) -> Any:
    """Import the one module of llama_cpp that declares the C functions, on ``library``."""
    if "llama_cpp" not in sys.modules:
        package = types.ModuleType("llama_cpp")
        package.__path__ = [str(_package_directory())]
        sys.modules["llama_cpp"] = package
    extensions = importlib.import_module("llama_cpp._ctypes_extensions")
    # The package looks for a file named libllama.so; the one wanted is open already.
    extensions.load_shared_library = lambda *_: library  # type: ignore[attr-defined]
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    except AttributeError as error:
        raise ModelError(
            f"llama.cpp and llama-cpp-python do not fit each other: {error}"
        ) from error


def _maps() -> str:
    try:
        return Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
