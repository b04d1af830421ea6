"""Plausible numbers within the bounds that a JSON Schema sets."""

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from xwe.mock.vocabulary import range_for_name

_TRIES: Final = 50


def fill_number(
    schema: Mapping[str, Any], kind: str, key: str, rng: random.Random
) -> float | int | None:
    """A number of the kind "integer" or "number"; None when none was found."""
    for candidate in _candidates(schema, kind, key, rng):
        if _fits(candidate, schema):
            return candidate
    return None


def _candidates(
    schema: Mapping[str, Any], kind: str, key: str, rng: random.Random
) -> Iterator[float | int]:
    low, high = _bounds(schema, *range_for_name(key))
    step = schema.get("multipleOf")
    whole = kind == "integer"
    for _ in range(_TRIES):
        drawn = rng.uniform(low, high)
        if step:
            drawn = round(drawn / step) * step
        if not whole and not step:
            yield round(drawn, 2)
            yield drawn
        elif not whole or float(drawn).is_integer():
            yield int(drawn) if float(drawn).is_integer() else drawn
        else:
            yield math.floor(drawn)
    # A narrow range is met only from its ends.
    first = math.ceil(low / step) if step else math.ceil(low)
    for number in range(first, first + _TRIES):
        multiple = number * (step or 1)
        if not whole:
            yield multiple
        elif float(multiple).is_integer():
            yield int(multiple)
    if not whole:
        yield low
        yield high


def _bounds(schema: Mapping[str, Any], usual_low: float, usual_high: float) -> tuple[float, float]:
    lows = [schema[word] for word in ("minimum", "exclusiveMinimum") if word in schema]
    highs = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
    low = max(lows) if lows else None
    high = min(highs) if highs else None
    if low is None:
        low = usual_low if high is None or high > usual_low else high - 100
    if high is None:
        high = usual_high if usual_high > low else low + 100
    # The usual range, where it lies within the asked-for one.
    narrow_low, narrow_high = max(low, usual_low), min(high, usual_high)
    return (narrow_low, narrow_high) if narrow_low < narrow_high else (low, high)


def _fits(value: float, schema: Mapping[str, Any]) -> bool:
    step = schema.get("multipleOf")
    return (
        value >= schema.get("minimum", -math.inf)
        and value <= schema.get("maximum", math.inf)
        and value > schema.get("exclusiveMinimum", -math.inf)
        and value < schema.get("exclusiveMaximum", math.inf)
        and (not step or _is_multiple(value, step))
    )


def _is_multiple(value: float, step: Any) -> bool:
    """As the validator sees it: binary fractions are not exact."""
    if isinstance(step, float):
        quotient = value / step
        return math.isfinite(quotient) and int(quotient) == quotient
    return bool(value % step == 0)
