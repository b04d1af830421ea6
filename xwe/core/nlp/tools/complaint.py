"""What a model is told of arguments that do not fit."""

from collections.abc import Sequence

# A model mends the first few; more would only confuse it.
SHOWN_ERRORS = 5

# The names may be the model's own invention, of any length.
_PLACE_CHARACTERS = 60
_MESSAGE_CHARACTERS = 200


def complaint(wrong: Sequence[tuple[str, str]]) -> str:
    """A sentence for the model.

    Args:
        wrong: the place of each error, and what is wrong there.
    """
    told = [
        f"{place[:_PLACE_CHARACTERS]}: {message[:_MESSAGE_CHARACTERS]}"
        for place, message in wrong[:SHOWN_ERRORS]
    ]
    if len(wrong) > SHOWN_ERRORS:
        told.append(f"and {len(wrong) - SHOWN_ERRORS} more")
    return "The arguments do not fit: " + "; ".join(told)
