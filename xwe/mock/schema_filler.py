"""Plausible values that are valid against a JSON Schema.

A value is built along the schema, and then checked against the whole of it; where that fails (a
`not`, a `oneOf` whose branches overlap) another is tried, so that what is returned is valid. A
schema for which none is found is refused.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from jsonschema.validators import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from xwe.errors import InvalidRequestError
from xwe.mock.number_filler import fill_number
from xwe.mock.pattern_text import matching_text
from xwe.mock.schema_merge import merge_schemas
from xwe.mock.topic import Topic
from xwe.mock.vocabulary import demo_text, text_for_format, text_for_name

Schema = Mapping[str, Any]

_ATTEMPTS: Final = 40
# Deeper or larger than any reply that a person reads: from there on only what is required.
_TERSE_DEPTH: Final = 10
_TERSE_NODES: Final = 2_000
_MOST_DEPTH: Final = 80
# All attempts at one schema together: an event loop waits for them.
_MOST_NODES: Final = 20_000
_MOST_LENGTH: Final = 100_000
_MOST_ITEMS: Final = 10_000
_USUAL_ITEMS: Final = 2
_MOST_TRIES: Final = 50
_KINDS_BY_KEYWORD: Final = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "contains")),
    ("string", ("pattern", "minLength", "maxLength", "format")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)
_PADDING: Final = {"zh": "，这是演示文字", "en": " and more demo text"}


class _DeadEndError(Exception):
    """This way through the schema leads to no value."""


def fill_schema(schema: Schema, topic: Topic, seed: int, *, field: str) -> Any:
    """A value that is valid against `schema`; the same for the same topic and seed.

    Raises:
        InvalidRequestError: none was found; names `field`.
    """
    # No retrieval: a reference to somewhere else is refused, never fetched.
    validator = Draft202012Validator(schema, registry=Registry())
    nodes = itertools.count(1)
    for attempt in range(_ATTEMPTS):
        rng = random.Random(f"{seed}:{attempt}:{topic.message}")  # noqa: S311 - plausible, not secret
        filler = _Filler(schema, topic, rng, nodes, is_first=attempt == 0)
        try:
            value = filler.value(schema, "")
            if validator.is_valid(value):
                return value
        except _DeadEndError:
            continue
        except (Unresolvable, re.error, RecursionError, AttributeError):
            # The last is what the validator raises for a reference to something that is no schema.
            break
    raise InvalidRequestError(
        "The demo model found no value that is valid against this schema.", field=field
    )


class _Filler:
    """One attempt at a value."""

    def __init__(
        self,
        root: Schema,
        topic: Topic,
        rng: random.Random,
        nodes: Iterator[int],
        *,
        is_first: bool,
    ) -> None:
        self._root, self._topic, self._rng = root, topic, rng
        # The first attempt takes the likeliest way everywhere, the later ones any.
        self._likely = is_first
        self._budget = nodes
        self._depth = 0
        self._nodes = 0
        self._references: list[str] = []

    def value(self, schema: Any, key: str) -> Any:
        """A value for the schema of the field `key`."""
        self._nodes += 1
        self._depth += 1
        references = len(self._references)
        try:
            if next(self._budget) > _MOST_NODES or self._depth > _MOST_DEPTH:
                raise _DeadEndError
            return self._of_kind(self._flattened(schema), key)
        finally:
            self._depth -= 1
            del self._references[references:]

    @property
    def _terse(self) -> bool:
        repeated = len(self._references) > len(set(self._references))
        return repeated or self._depth > _TERSE_DEPTH or self._nodes > _TERSE_NODES

    # -- one schema out of many

    def _flattened(self, schema: Any) -> Schema:
        """The schema with its references followed and its alternatives chosen."""
        for _ in range(_MOST_DEPTH):
            if schema is True:
                return {}
            if not isinstance(schema, Mapping):
                raise _DeadEndError
            if "$ref" in schema:
                target = self._resolved(schema["$ref"])
                schema = merge_schemas(_without(schema, "$ref"), target)
            elif "allOf" in schema:
                parts, schema = schema["allOf"], _without(schema, "allOf")
                for part in parts:
                    schema = merge_schemas(schema, part)
            elif "anyOf" in schema:
                branch = self._branch(schema["anyOf"])
                schema = merge_schemas(_without(schema, "anyOf"), branch)
            elif "oneOf" in schema:
                branch = self._branch(schema["oneOf"])
                schema = merge_schemas(_without(schema, "oneOf"), branch)
            elif "if" in schema:
                branch = self._condition(schema)
                schema = merge_schemas(_without(schema, "if", "then", "else"), branch)
            else:
                return schema
        raise _DeadEndError

    def _condition(self, schema: Schema) -> Any:
        met = merge_schemas(schema["if"], schema.get("then", True))
        return met if self._chance() else schema.get("else", True)

    def _branch(self, branches: Sequence[Any]) -> Any:
        if self._terse:
            return min(branches, key=_weight)
        if self._likely:
            return next((b for b in branches if b != {"type": "null"}), branches[0])
        return self._rng.choice(branches)

    def _resolved(self, reference: str) -> Any:
        self._references.append(reference)
        if not reference.startswith("#"):
            raise _DeadEndError
        target: Any = self._root
        for raw in filter(None, reference[1:].split("/")):
            step = raw.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(step)] if isinstance(target, list) else target[step]
            except (LookupError, TypeError, ValueError):
                raise _DeadEndError from None
        return target

    # -- one value for a flat schema

    def _of_kind(self, schema: Schema, key: str) -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._member(schema["enum"])
        kind = self._kind(schema)
        if kind in ("integer", "number"):
            number = fill_number(schema, kind, key, self._rng)
            if number is None:
                raise _DeadEndError
            return number
        make: Mapping[str, Callable[[Schema, str], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "boolean": self._boolean,
            "null": _nothing,
        }
        return make[kind](schema, key)

    def _boolean(self, _schema: Schema, _key: str) -> bool:
        return self._chance()

    def _chance(self) -> bool:
        return self._likely or self._rng.random() < 0.5  # noqa: PLR2004 - an even chance

    def _kind(self, schema: Schema) -> str:
        kinds = schema.get("type")
        if isinstance(kinds, str):
            return kinds
        if kinds is None:
            likely = (n for n, words in _KINDS_BY_KEYWORD if any(w in schema for w in words))
            return next(likely, "string" if self._likely else self._rng.choice(_KIND_WEIGHTS))
        if not kinds:
            raise _DeadEndError
        if self._terse:
            return str(min(kinds, key=_KIND_WEIGHTS.index))
        return next((kind for kind in kinds if kind != "null"), "null")

    def _member(self, members: Sequence[Any]) -> Any:
        if not members:
            raise _DeadEndError
        mentioned = [m for m in members if isinstance(m, str) and m and m in self._topic.message]
        return self._rng.choice(mentioned if mentioned and self._likely else members)

    def _object(self, schema: Schema, _key: str) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = list(dict.fromkeys(schema.get("required", ())))
        names = [n for n in properties if n in required or not self._terse]
        names += [n for n in required if n not in properties]
        for name, wanted in schema.get("dependentRequired", {}).items():
            if name in names:
                names += [n for n in wanted if n not in names]
        most = _count(schema, "maxProperties", len(names))
        for name in reversed(list(names)):
            if len(names) > most and name not in required:
                names.remove(name)
        names += self._further_names(schema, names)
        filled = {}
        for name in names:
            part = self._property(schema, name)
            if part is False and name not in required:
                continue
            filled[name] = self.value(part, name)
        return filled

    def _further_names(self, schema: Schema, names: Sequence[str]) -> Iterator[str]:
        """Names for what minProperties wants beyond the known ones."""
        patterns = list(schema.get("patternProperties", ()))
        closed = schema.get("additionalProperties") is False
        taken = set(names)
        for index in range(min(_count(schema, "minProperties", 0), _MOST_ITEMS) - len(names)):
            for number in range(_MOST_ITEMS):
                name = f"extra_{index + number}"
                if closed and patterns:
                    name = matching_text(self._rng.choice(patterns), self._rng, least=number) or ""
                if name not in taken:
                    break
            taken.add(name)
            yield name

    def _property(self, schema: Schema, name: str) -> Any:
        parts = [
            part
            for pattern, part in schema.get("patternProperties", {}).items()
            if re.search(pattern, name)
        ]
        if name in schema.get("properties", {}):
            parts.append(schema["properties"][name])
        if not parts:
            parts.append(schema.get("additionalProperties", True))
        merged = parts[0]
        for part in parts[1:]:
            merged = merge_schemas(merged, part)
        return merged

    def _array(self, schema: Schema, key: str) -> list[Any]:
        prefix = schema.get("prefixItems", ())
        items = schema.get("items", True)
        least = _count(schema, "minItems", 0)
        usual = 0 if self._terse else max(_USUAL_ITEMS + self._rng.randrange(2), len(prefix))
        if items is False:
            usual = len(prefix)
        count = max(least, min(usual, _count(schema, "maxItems", usual)))
        if count > _MOST_ITEMS:
            raise _DeadEndError
        wanted, matches = schema.get("contains"), _count(schema, "minContains", 1)
        values: list[Any] = []
        for index in range(count):
            part = prefix[index] if index < len(prefix) else items
            if wanted is not None and index >= count - max(1, matches):
                part = merge_schemas(part, wanted)
            must_differ = schema.get("uniqueItems", False)
            values.append(self._item(part, key, values, _MOST_TRIES if must_differ else 4))
        if wanted is not None and not values and matches:
            values.append(self.value(merge_schemas(items, wanted), key))
        return values

    def _item(self, schema: Any, key: str, others: Sequence[Any], tries: int) -> Any:
        """A value that differs from the others, where that can be had in so many tries."""
        value = self.value(schema, key)
        likely, self._likely = self._likely, False
        for number in range(2, tries):
            if value not in others:
                break
            value = self.value(schema, f"{key} {len(others) + number}" if number % 2 else key)
        self._likely = likely
        return value

    def _string(self, schema: Schema, key: str) -> str:
        least = _count(schema, "minLength", 0)
        most = _count(schema, "maxLength", None)
        if least > _MOST_LENGTH:
            raise _DeadEndError
        if "pattern" in schema:
            text = matching_text(schema["pattern"], self._rng, least=least, most=most)
            if text is None:
                raise _DeadEndError
            return text
        text = (
            text_for_format(schema.get("format", ""), self._rng)
            or text_for_name(key, self._topic, self._rng)
            or demo_text(key, self._topic)
        )
        if len(text) < least:
            padding = _PADDING[self._topic.language]
            text = (text + padding * (least // len(padding) + 1))[:least]
        return text if most is None else text[:most]


@overload
def _count(schema: Schema, keyword: str, otherwise: int) -> int: ...
@overload
def _count(schema: Schema, keyword: str, otherwise: None) -> int | None: ...
def _count(schema: Schema, keyword: str, otherwise: int | None) -> int | None:
    """A keyword's number; JSON Schema takes 3.0 for an integer."""
    return int(schema[keyword]) if keyword in schema else otherwise


def _nothing(_schema: Schema, _key: str) -> None:
    return None


_KIND_WEIGHTS: Final = ("null", "boolean", "integer", "number", "string", "array", "object")


def _weight(schema: Any) -> int:
    """How much a branch is likely to hold; recursion ends where the lightest is taken."""
    if not isinstance(schema, Mapping):
        return 0
    if "const" in schema or "enum" in schema:
        return 0
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _KIND_WEIGHTS:
        return _KIND_WEIGHTS.index(kind)
    return len(_KIND_WEIGHTS)


def _without(schema: Schema, *keywords: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keywords}
