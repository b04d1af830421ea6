"""Embeddings without a model: hashed character n-grams, so that similar texts are near."""

import math
import struct
import unicodedata
import zlib
from base64 import b64encode
from functools import lru_cache
from typing import Final

DEFAULT_DIMENSIONS: Final = 256
MAX_DIMENSIONS: Final = 4096
_SIZES: Final = (1, 2, 3)


@lru_cache(maxsize=256)
def embed(text: str, dimensions: int = DEFAULT_DIMENSIONS) -> tuple[float, ...]:
    """A unit vector for the text, the same in every process.

    Each run of one to three characters is counted in a place, and with a sign, that its checksum
    gives; texts that share many runs point in nearly the same direction.
    """
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    vector = [0.0] * dimensions
    for size in _SIZES:
        for start in range(max(1, len(normal) - size + 1)):
            checksum = zlib.crc32(normal[start : start + size].encode("utf-8", "replace"))
            sign = 1.0 if checksum & 1 else -1.0
            # Longer runs say more about a text than single letters do.
            vector[(checksum >> 1) % dimensions] += sign * size
    length = math.sqrt(sum(x * x for x in vector))
    if not length:  # the signs cancelled each other out
        vector[0], length = 1.0, 1.0
    return tuple(x / length for x in vector)


def encode_base64(vector: tuple[float, ...]) -> str:
    """The vector as the API's base64: little-endian 32-bit floats."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
