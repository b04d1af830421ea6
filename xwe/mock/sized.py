"""Texts and arguments of an exact number of tokens, for measurements."""

import json
from collections.abc import Sequence
from typing import Final

from xwe.errors import InvalidRequestError
from xwe.mock.tokens import split_tokens

# Each is one token, with the space before it.
_WORDS: Final[Sequence[str]] = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def sized_text(tokens: int) -> str:
    """A text of so many tokens, which a stream sends in as many pieces."""
    return " ".join(_WORDS[index % len(_WORDS)] for index in range(tokens))


def sized_arguments(tokens: int, key: str = "query") -> str:
    """A JSON object of so many tokens, with one text under `key`.

    Raises:
        InvalidRequestError: such an object cannot be that short; says how short it can be.
    """
    shortest = len(split_tokens(json.dumps({key: "one"}, ensure_ascii=False)))
    if tokens < shortest:
        raise InvalidRequestError(
            f"An object with the key {key!r:.80} takes {shortest} tokens or more.", field="tokens"
        )
    return json.dumps({key: sized_text(tokens - shortest + 1)}, ensure_ascii=False)
