"""What a digest, a commit or a name looks like: asked wherever one comes in from outside.

Each of these becomes part of a path or a word of a command line, so nothing else may pass.
"""

from __future__ import annotations

import re

SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
# One component of a path: no slash, no control character, no leading dash or dot.
FILE_NAME = re.compile(r"[^-./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*")
# A file in a repository: components with slashes between them.
FILE_PATH = re.compile(rf"{FILE_NAME.pattern}(/{FILE_NAME.pattern})*")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# A branch, a tag or a commit.
REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
# Of a Python package, and of its version (PEP 508, PEP 440).
PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
VERSION = re.compile(r"[A-Za-z0-9][\w.!+-]*", re.ASCII)
