"""Where a sentence ends, in Chinese and in scripts with full stops."""

import re

# A full stop inside a number or a name ends nothing: only one with space, or nothing, after it.
_END = re.compile(r"[。！？…!?\n]+[”’」』）)\"']*|\.(?=\s|$)")
_AT_END = re.compile(r"(?:[。！？…!?\n]+[”’」』）)\"']*|\.)\s*$")


def end_of_sentence(piece: str) -> int:
    """How many characters of `piece` belong to the sentence that ends in it; 0 if none does."""
    found = _END.search(piece)
    return found.end() if found else 0


def ends_sentence(text: str) -> bool:
    """Whether `text` is at a sentence's end; nothing said yet is one too."""
    return not text or _AT_END.search(text[-16:]) is not None
