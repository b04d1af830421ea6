"""Values for JSON Schemas, the plain way.

Understood are types, enum and const, the bounds of numbers, texts and lists, simple patterns,
local references, and alternatives, of which one is chosen. Every value is checked against the whole
schema: what is out of reach is refused and never answered with an invalid value.
"""

import contextlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from typing import Any, Final

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from xwe.errors import InvalidRequestError
from xwe.mock.demo_model.field_texts import field_text
from xwe.mock.demo_model.pattern_text import matching_text
from xwe.mock.demo_model.topic import Topic
from xwe.mock.demo_model.vocabulary import plain_name, vocabulary
from xwe.mock.schemas import validator_of

Schema = Mapping[str, Any]

_ATTEMPTS: Final = 10
# Of all attempts together: an event loop waits for them.
_MOST_NODES: Final = 10_000
_MOST_CHARACTERS: Final = 100_000
_USUAL_ITEMS: Final = 2
# What the validator and the schema's own oddities raise: nowhere to go on from.
_DEAD_ENDS: Final = (
    LookupError,
    Unresolvable,
    re.error,
    RecursionError,
    AttributeError,
    TypeError,
    ValueError,
    ArithmeticError,
)
_KIND_OF_KEYWORD: Final = {
    **dict.fromkeys(("properties", "required", "minProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems"), "array"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), "number"),
    "multipleOf": "number",
}
_PADDING: Final = {"zh": "，这是演示文字", "en": " and more demo text"}
_NARROWER: Final[Mapping[str, Callable[..., Any]]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), min),
}


class _NoValueError(ValueError):
    """The schema allows nothing here, or more than a demo makes."""


def fill_schema(schema: Schema, topic: Topic, seed: int, *, field: str) -> Any:
    """A value that is valid against `schema`; the same for the same topic and seed.

    Raises:
        InvalidRequestError: none was found; names `field`.
    """
    validator = validator_of(schema)
    budget = iter(range(_MOST_NODES))
    for attempt in range(_ATTEMPTS):
        filler = _Filler(schema, topic, f"{seed}:{attempt}", budget, attempt)
        with contextlib.suppress(*_DEAD_ENDS):
            value = filler.value(schema, "")
            if validator.is_valid(value):
                return value
    raise InvalidRequestError("The demo model cannot fill this JSON Schema.", field=field)


class _Filler:
    """One attempt. The first takes the likely alternatives, the second only what is required."""

    def __init__(
        self, root: Schema, topic: Topic, seed: str, budget: Iterator[int], attempt: int
    ) -> None:
        self._root, self._topic, self._budget = root, topic, budget
        self._rng = random.Random(f"{seed}:{topic.message}")  # noqa: S311 - variety, not secrecy
        self._start = self._rng.randrange(60)
        self._texts = 0
        self._is_first = attempt == 0
        self._is_terse = attempt % 2 == 1
        self._open_references: list[str] = []

    def value(self, schema: Any, key: str, nth: int | None = None) -> Any:
        """A value for the schema of the field `key`; the nth one where a list has several."""
        references, is_terse = len(self._open_references), self._is_terse
        try:
            return self._made(self._flattened(schema), key, nth)
        finally:
            del self._open_references[references:]
            self._is_terse = is_terse

    def _spend(self) -> None:
        if next(self._budget, None) is None:
            raise _NoValueError

    # -- one schema out of several

    def _flattened(self, schema: Any) -> Schema:
        """The schema with its references followed and its alternatives chosen."""
        while True:
            self._spend()
            if schema is True:
                return {}
            if not isinstance(schema, Mapping):
                raise _NoValueError
            rest = dict(schema)
            if "$ref" in rest:
                schema = _both(self._resolved(rest.pop("$ref")), rest)
            elif "allOf" in rest:
                schema = reduce(_both, rest.pop("allOf"), rest)
            elif "anyOf" in rest:
                schema = _both(rest, self._branch(rest.pop("anyOf")))
            elif "oneOf" in rest:
                schema = _both(rest, self._branch(rest.pop("oneOf")))
            else:
                return rest

    def _branch(self, branches: Sequence[Any]) -> Any:
        if self._is_terse:
            return min(branches, key=_weight)
        if self._is_first:
            return next((b for b in branches if b != {"type": "null"}), branches[0])
        return self._rng.choice(branches)

    def _resolved(self, reference: str) -> Any:
        # A schema within itself ends where only what is required is filled.
        self._is_terse |= reference in self._open_references
        self._open_references.append(reference)
        root = DRAFT202012.create_resource(self._root)
        resolver = Registry().with_resource("", root).resolver()
        return resolver.lookup(reference).contents

    # -- one value for a flat schema

    def _made(self, schema: Schema, key: str, nth: int | None) -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._member(schema["enum"], nth)
        kind = self._kind(schema)
        made: Any = None
        if kind == "object":
            made = self._object(schema, nth)
        elif kind == "array":
            made = self._array(schema, key)
        elif kind == "string":
            made = self._string(schema, key, nth)
        elif kind == "boolean":
            made = ((nth or 0) + (0 if self._is_first else self._start)) % 2 == 0
        elif kind != "null":
            made = self._number(schema, key, nth or 0, is_whole=kind == "integer")
        return made

    def _kind(self, schema: Schema) -> str:
        kinds = schema.get("type")
        if kinds is None:
            return next((_KIND_OF_KEYWORD[k] for k in schema if k in _KIND_OF_KEYWORD), "string")
        if isinstance(kinds, str):
            return kinds
        if self._is_terse and "null" in kinds:
            return "null"
        return next((kind for kind in kinds if kind != "null"), "null")

    def _member(self, members: Sequence[Any], nth: int | None) -> Any:
        mentioned = [m for m in members if isinstance(m, str) and m and m in self._topic.message]
        if mentioned and nth is None and self._is_first:
            return mentioned[self._start % len(mentioned)]
        return members[(self._start + (nth or 0)) % len(members)]

    def _object(self, schema: Schema, nth: int | None) -> dict[str, Any]:
        known: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", ())
        names = [n for n in known if n in required or not (self._is_terse or known[n] is False)]
        names += [n for n in required if n not in known]
        missing = range(int(schema.get("minProperties", 0)) - len(names))
        other = schema.get("additionalProperties", True)
        return {
            name: self.value(known.get(name, other), name, nth)
            for name in chain(names, (f"extra_{number}" for number in missing))
        }

    def _array(self, schema: Schema, key: str) -> list[Any]:
        prefix, items = schema.get("prefixItems", ()), schema.get("items", True)
        usual = 0 if self._is_terse else max(_USUAL_ITEMS + self._start % 2, len(prefix))
        most = int(schema.get("maxItems", usual)) if items is not False else len(prefix)
        count = max(int(schema.get("minItems", 0)), min(usual, most))
        return [
            self.value(prefix[nth] if nth < len(prefix) else items, key, nth)
            for nth in range(count)
        ]

    def _string(self, schema: Schema, key: str, nth: int | None) -> str:
        least = int(schema.get("minLength", 0))
        most = int(schema["maxLength"]) if "maxLength" in schema else None
        if least > _MOST_CHARACTERS:
            raise _NoValueError
        if "pattern" in schema:
            return matching_text(schema["pattern"], self._rng, least)
        text = vocabulary().formats.get(schema.get("format", ""))
        if text is None:
            text = field_text(key, self._topic, self._start + self._texts, nth)
            self._texts += nth is None  # the next field begins with the next text
        if len(text) < least:
            padding = _PADDING[self._topic.language]
            text = (text + padding * (least // len(padding) + 1))[:least]
        return text if most is None else text[:most]

    def _number(self, schema: Schema, key: str, nth: int, *, is_whole: bool) -> float | int:
        low, high = _range(schema, key)
        step = schema.get("multipleOf")
        if step is None and not is_whole:
            number = round(self._rng.uniform(low, high), 2)
            return number if low < number < high else (low + high) / 2
        if step is None or (is_whole and step % 1):
            step = 1
        first, last = -int(-low // step), int(high // step)
        first += first * step == schema.get("exclusiveMinimum")
        count = last - first + 1
        multiple = first + (self._rng.randrange(count) + nth) % count
        return int(multiple * step) if is_whole else multiple * step


def _range(schema: Schema, key: str) -> tuple[Any, Any]:
    """Between which numbers the field's value lies: plausible ones within the schema's bounds."""
    name = plain_name(key)
    usual = (each for names, each in vocabulary().ranges if names.search(name))
    usual_low, usual_high = next(usual, (1, 100))
    lows = [schema[word] for word in ("minimum", "exclusiveMinimum") if word in schema]
    highs = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
    low, high = max(lows, default=None), min(highs, default=None)
    if low is None:
        low = usual_low if high is None or usual_low < high else high - 100
    if high is None:
        high = usual_high if low < usual_high else low + 100
    narrow = max(low, usual_low), min(high, usual_high)
    return narrow if narrow[0] < narrow[1] else (low, high)


def _both(first: Any, second: Any) -> Any:
    """A schema that asks for both, as far as two keywords are easily joined."""
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second if first is True else first if second is True else False
    joined = {**first, **second}
    for keyword in first.keys() & second.keys():
        ours, theirs = first[keyword], second[keyword]
        if keyword == "properties":
            names = {n: _both(ours[n], theirs[n]) for n in ours.keys() & theirs.keys()}
            joined[keyword] = {**ours, **theirs, **names}
        elif keyword in ("required", "allOf"):
            joined[keyword] = (
                list(dict.fromkeys((*ours, *theirs))) if keyword == "required" else [*ours, *theirs]
            )
        elif keyword in _NARROWER:
            joined[keyword] = _NARROWER[keyword](ours, theirs)
    return joined


def _weight(branch: Any) -> int:
    """How much an alternative is likely to hold."""
    if not isinstance(branch, Mapping) or branch.get("type") == "null":
        return 0
    if "$ref" in branch or branch.get("type") == "object":
        return 2
    return 1
