"""What counts as a token.

A reply's tokens are the pieces it is streamed in: a Chinese character, a punctuation mark, up to
six letters of a word with the space before them, or a run of blank lines. A prompt is only
estimated: one token for four bytes of UTF-8, and four for each message.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

_TOKEN: Final = re.compile(r" ?[A-Za-z0-9À-ɏ]{1,6}|\s*\n+|[^\S\n]+|.", re.DOTALL)
_FRAME_TOKENS: Final = 4


@lru_cache(maxsize=512)
def split_tokens(text: str) -> tuple[str, ...]:
    """The tokens of a reply; joined, they are the text."""
    return tuple(_TOKEN.findall(text))


def estimate_tokens(text: str) -> int:
    """The estimated number of tokens in a text."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def estimate_prompt_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """The estimated number of tokens in a conversation, including its tool calls."""
    total = 0
    for message in messages:
        total += _FRAME_TOKENS
        content = message.get("content")
        if isinstance(content, str):
            total += estimate_tokens(content)
        elif content:
            total += estimate_tokens(str(content))
        if message.get("tool_calls"):
            total += estimate_tokens(str(message["tool_calls"]))
    return total
