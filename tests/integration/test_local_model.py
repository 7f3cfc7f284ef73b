"""The Python program's local engine on a real model: tests/tea/model, as the bundle runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tasks.base.paths import BUILD, ROOT
from tasks.fetch.ensure import StoredModel
from tests.integration.conftest import TARGET

pytestmark = pytest.mark.integration

# Modules of the tests come from here; those of the program from the bundle's own archive.
RUN = """
import sys
sys.path.insert(0, {root!r})
sys.path.append({packages!r})
import pytest
words = ["-q", "-p", "no:cacheprovider", "-o", "pythonpath=", "tests/tea/model"]
sys.exit(pytest.main(words))
"""


def test_local_engine_holds_on_a_real_model(bundle: Path, model: StoredModel) -> None:
    appdir = BUILD / f"python-appdir-{TARGET.arch}"
    lib = appdir / "usr/lib"
    packages = sysconfig.get_path("purelib")
    done = subprocess.run(
        [
            *(str(next(lib.glob("ld-linux-*"))), "--inhibit-cache"),
            *("--library-path", f"{lib}:{lib}/llama", str(appdir / "usr/bin/python3")),
            *("-I", "-S", "-X", "utf8", "-c", RUN.format(root=str(ROOT), packages=packages)),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "TEA_TEST_MODEL": str(model.path),
            "TEA_LIBRARY_PATH": str(lib / "llama"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) >= 15
