"""Texts and arguments of exactly so many tokens, for what is measured by the clock."""

import json
from collections.abc import Sequence
from typing import Final

from xwe.errors import InvalidRequestError
from xwe.mock.tokens import split_tokens

# Short enough to be one token each, with the space before them.
_WORDS: Final[Sequence[str]] = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def sized_text(tokens: int) -> str:
    """A text of so many tokens, which a stream brings in as many pieces."""
    return " ".join(_WORDS[index % len(_WORDS)] for index in range(tokens))


def sized_arguments(tokens: int, key: str = "query") -> str:
    """A JSON object of so many tokens: one text, under `key`.

    Raises:
        InvalidRequestError: no such object is that short; names the shortest.
    """
    shortest = len(split_tokens(json.dumps({key: "one"}, ensure_ascii=False)))
    if tokens < shortest:
        raise InvalidRequestError(
            f"An object with the key {key!r:.80} takes {shortest} tokens or more.", field="tokens"
        )
    return json.dumps({key: sized_text(tokens - shortest + 1)}, ensure_ascii=False)
