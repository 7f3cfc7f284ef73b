"""The task suite: everything that a session does."""

import sys
from pathlib import Path

# What the Python program does too is its own module: reading GGUF, choosing a proxy.
sys.path.append(str(Path(__file__).resolve().parent.parent / "python/src"))
