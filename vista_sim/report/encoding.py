"""Data inside HTML: JSON that no name can break out of, and packed bytes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any

#: What could end a script element, begin a comment or a tag, or end a line in old JavaScript.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def safe_json(value: Any) -> str:
    """JSON that may stand inside a script element as it is. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate (a file name that is not UTF-8) could not be written to the page.
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8")


def packed(data: bytes) -> str:
    """Base64 of gzip, always the same for the same data."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")


def packed_json(value: Any) -> str:
    """A value as JSON, packed."""
    return packed(safe_json(value).encode("utf-8"))


def script_hash(text: str) -> str:
    """The hash by which a content security policy lets an inline script run."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
