"""Characters' names: what may be one, and how it is kept."""

import re
import unicodedata
from typing import Final

from xwe.errors import InvalidRequestError

MAX_NAME_CHARS: Final = 64
# A page of ours has this address, and browsers take the dots for folders.
_RESERVED: Final = frozenset({"new", ".", ".."})
_FORBIDDEN: Final = re.compile(
    r"[/\\\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def as_kept(name: str) -> str:
    """The one of a name's spellings in which it is kept and looked for."""
    return unicodedata.normalize("NFC", name)


def checked_name(name: str, field: str) -> str:
    """The name as it is kept.

    Raises:
        InvalidRequestError: it is empty or too long, or an address could not hold it.
    """
    kept = as_kept(" ".join(name.split()))
    if not kept:
        raise InvalidRequestError(f"{field} must not be empty.", field=field)
    if len(kept) > MAX_NAME_CHARS:
        raise InvalidRequestError(
            f"{field} must be at most {MAX_NAME_CHARS} characters, not {len(kept)}.", field=field
        )
    if _FORBIDDEN.search(kept) or kept in _RESERVED:
        raise InvalidRequestError(
            f"{field} must be a name without slashes and invisible characters, and not “new”.",
            field=field,
        )
    return kept
