"""Regular expressions as Go reads them (RE2): linear in time whatever the pattern, so that users may give them.

The one door to the library; compiled patterns are kept. Limits: groups by name or number, no backreferences.
"""

from functools import lru_cache
from typing import Any, Final

import re2  # type: ignore[import-untyped]

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
Pattern = Any
"""`search(text)` gives a match (`group()`, `span()`) or None; `finditer`, `sub` as in `re`."""


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> Pattern:
    """The pattern, ready. Errors: ValueError, worded as Go's regexp."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        reason, _, where = text.partition(": ")
        reason = _GO_WORDS.get(reason, reason)
        raise ValueError(f"error parsing regexp: {reason}: `{where}`") from None


_GO_WORDS: Final = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
}
"""What Go calls the faults that RE2 calls otherwise."""
