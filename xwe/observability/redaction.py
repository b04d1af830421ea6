"""Removes secrets and users' texts from what is about to be logged.

Our own code does not log them in the first place. This catches libraries and exception messages
that do.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from xwe.settings import Settings
from xwe.settings.providers import PLACEHOLDER_KEY

MASK = "[redacted]"

# Anything shorter would also match inside ordinary words.
SHORTEST_SECRET = 6

# In characters. Longer lines are useless, and every pattern below would have to scan them.
LONGEST_TEXT = 20_000

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)"""

_FIELDS_WITH_SECRETS = r"(?:x[-_])?(?:api[-_]?key|secret[-_]?key|access[-_]?token|password)"

# The fields on the wire that hold the texts of users and models.
_FIELDS_WITH_TEXT = (
    r"(?:content|prompt|message|new_message|system_prompt|text|arguments|reasoning_content)"
)

# Each keeps its first group and masks the rest.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # In a header, JSON, a keyword argument or a repr.
        r"((?:proxy-)?authorization\W{1,6})(?:(?:bearer|basic)\s+)?[^\s\"',}]+",
        r"((?:set-)?cookie[\"']?\s*[:=]\s*)[^\r\n]+",
        rf"({_FIELDS_WITH_SECRETS}[\"']?\s*[:=]\s*[\"']?)[^\s\"',}})&]+",
        r"(\bbearer\s+)[^\s\"',}]+",
        r"(\bsk-)[\w-]{8,}",
        r"(://[^\s/:@]*:)[^\s/@]+(?=@)",
        rf"([\"']{_FIELDS_WITH_TEXT}[\"']\s*:\s*){_QUOTED}",
        # The query of an address: GET /chat?prompt=...
        r"(\?)[\w.~%+-]+=[^\s\"'<>]*",
    )
)


class Redactor:
    """Masks known secrets, and everything that looks like one.

    Args:
        secrets: texts that must never appear.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        known = {secret for secret in secrets if secret and len(secret) >= SHORTEST_SECRET}
        # Longest first: one secret may be part of another.
        ordered = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, settings: Settings) -> "Redactor":
        """A redactor for the secrets in `settings`."""
        password = unquote(urlsplit(settings.storage.database_url).password or "")
        secrets = [settings.provider.api_key, settings.access.api_token, password]
        return cls(secret for secret in secrets if secret != PLACEHOLDER_KEY)

    def redact(self, text: str) -> str:
        """The text without secrets, cut off at LONGEST_TEXT."""
        if len(text) > LONGEST_TEXT:
            text = f"{text[:LONGEST_TEXT]} [{len(text) - LONGEST_TEXT} more characters]"
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{MASK}", text)
        return text
