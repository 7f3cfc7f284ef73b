"""The task suite: everything that a session does."""

import sys
from pathlib import Path

# Models are read by the Python program's own reader.
sys.path.append(str(Path(__file__).resolve().parent.parent / "python/src"))
