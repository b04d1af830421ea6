"""Takes secrets and what people wrote out of a text that is about to be logged.

The code does not log them in the first place; this holds where a library, or an exception's
text, does.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from xwe.settings import Settings
from xwe.settings.providers import PLACEHOLDER_KEY

MASK = "[redacted]"

# Anything shorter would also be found inside ordinary words.
SHORTEST_SECRET = 6

# In characters. A longer line is no line any more, and each pattern below has to read it.
LONGEST_TEXT = 20_000

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)"""

_FIELDS_WITH_SECRETS = r"(?:x[-_])?(?:api[-_]?key|secret[-_]?key|access[-_]?token|password)"

# The wire's fields that hold what people and models wrote.
_FIELDS_WITH_TEXT = (
    r"(?:content|prompt|message|new_message|system_prompt|text|arguments|reasoning_content)"
)

# Each leaves its first group in place and masks the rest.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # As a header, JSON, a keyword or a repr has it.
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
    """Masks known secrets, and whatever looks like one, in texts.

    Args:
        secrets: texts that must never be seen.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        known = {secret for secret in secrets if secret and len(secret) >= SHORTEST_SECRET}
        # Longest first: one may be part of another.
        ordered = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, settings: Settings) -> "Redactor":
        """One that knows the secrets of `settings`."""
        password = unquote(urlsplit(settings.storage.database_url).password or "")
        secrets = [settings.provider.api_key, settings.access.api_token, password]
        return cls(secret for secret in secrets if secret != PLACEHOLDER_KEY)

    def redact(self, text: str) -> str:
        """The text without them, and without what goes beyond LONGEST_TEXT."""
        if len(text) > LONGEST_TEXT:
            text = f"{text[:LONGEST_TEXT]} [{len(text) - LONGEST_TEXT} more characters]"
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{MASK}", text)
        return text
