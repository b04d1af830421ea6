"""How a field of a request is read: a reader returns the value, or names the field and its fault.

Fields that are not known are ignored, so that a newer front end can talk to an older server. Text
may not hold NUL characters: no database stores them, and no keyboard types them. An optional field
that is missing or null is None.

Raises (every function here): InvalidRequestError: the value cannot be used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from xwe.errors import InvalidRequestError

MAX_TEXT_CHARS = 200_000

# More digits are no number of ours, Python takes long over thousands of them, and the databases
# take no more.
_MAX_DIGITS = 18


def invalid(field: str, problem: str) -> InvalidRequestError:
    """The error about a field."""
    return InvalidRequestError(f"{field} {problem}.", field=field)


def text(body: Mapping[str, Any], field: str, most: int = MAX_TEXT_CHARS) -> str:
    """A required text that is not blank, of at most so many characters."""
    return checked_text(body.get(field), field, most)


def checked_text(value: Any, field: str, most: int = MAX_TEXT_CHARS) -> str:
    """The same for a value that has been taken out already."""
    if value is None:
        raise invalid(field, "is missing")
    checked = bounded_text(value, field, most)
    if not checked or checked.isspace():
        raise invalid(field, "must not be empty")
    return checked


def optional_text(body: Mapping[str, Any], field: str, most: int = MAX_TEXT_CHARS) -> str | None:
    """A text that may be missing, or empty."""
    value = body.get(field)
    return None if value is None else bounded_text(value, field, most)


def bounded_text(value: Any, field: str, most: int = MAX_TEXT_CHARS) -> str:
    """A text that may be empty, of at most so many characters."""
    if not isinstance(value, str):
        raise invalid(field, "must be a text")
    if len(value) > most:
        raise invalid(field, f"must be at most {most} characters, not {len(value)}")
    if "\0" in value:
        raise invalid(field, "must not hold NUL characters")
    return value


def secret(body: Mapping[str, Any], field: str) -> str:
    """A required text of any characters, such as a password."""
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise invalid(field, "must be a text, and not empty")
    return value


def optional_whole_number(body: Mapping[str, Any], field: str, least: int, most: int) -> int | None:
    """A whole number within bounds."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid(field, f"must be a whole number from {least} to {most}")
    return value


def optional_number(body: Mapping[str, Any], field: str, most: float) -> float | None:
    """A number from 0 up to a bound."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(field, "must be a number")
    if not 0 <= value <= most:
        raise invalid(field, f"must be from 0 to {most:g}")
    return value


def one_of(body: Mapping[str, Any], field: str, allowed: Sequence[str], usual: str) -> Any:
    """One of these words; `usual` unless given."""
    value = body.get(field)
    if value is None:
        return usual
    if value not in allowed:
        raise invalid(field, f"must be one of {', '.join(allowed)}")
    return value


def items(body: Mapping[str, Any], field: str, most: int, what: str) -> list[Any]:
    """A required list of at most so many items, which are checked by the caller."""
    value = body.get(field)
    if not isinstance(value, list):
        raise invalid(field, f"must be a list of {what}")
    if len(value) > most:
        raise invalid(field, f"must hold at most {most} {what}, not {len(value)}")
    return value


def parse_whole_number(digits: str) -> int | None:
    """The number in a header, query or address; None where it is none, or too long for one."""
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS
    return int(digits) if is_number else None


def query_number(query: Mapping[str, str], field: str, least: int, most: int) -> int | None:
    """A whole number in a query; one beyond `most` says the same as `most`."""
    digits = query.get(field, "")
    if not digits:
        return None
    if not (digits.isascii() and digits.isdecimal()):
        raise invalid(field, "must be a whole number")
    number = parse_whole_number(digits.lstrip("0") or "0")
    if number is None:
        return most
    if number < least:
        raise invalid(field, f"must be a whole number from {least} on")
    return min(number, most)
