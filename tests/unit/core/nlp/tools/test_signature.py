"""Signatures as people write them, and what models make of them."""

import dataclasses
import datetime as dt
import enum
import functools
import json
import typing
import uuid
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from xwe.core.nlp.tools import signature
from xwe.core.nlp.tools.arguments import plain_schema
from xwe.core.nlp.tools.progress import Progress
from xwe.core.nlp.tools.tool import Tool, tool
from xwe.errors import ToolArgumentsError


class Cat(TypedDict):
    kind: typing.Literal["cat"]


class Dog(TypedDict):
    kind: typing.Literal["dog"]


@dataclasses.dataclass
class Span:
    first: int
    last: int

    def __post_init__(self):
        if self.last < self.first:
            raise LookupError("last is before first")


UNSAID = object()


def refusal(one: Tool, arguments: str) -> str:
    with pytest.raises(ToolArgumentsError) as caught:
        one.bind(arguments)
    return caught.value.message


# --- what the schema keeps, and what it loses ---


def test_a_default_that_looks_like_a_schema_is_left_as_it_is():
    @tool
    def save(data: dict[str, str] = {"title": "t", "properties": "p"}) -> None:  # noqa: B006 - the point
        """Saves."""

    default = save.parameters["properties"]["data"]["default"]
    assert default == {"title": "t", "properties": "p"}


def test_a_default_that_json_cannot_say_is_left_out_without_a_warning():
    @tool
    def find(what: typing.Any = UNSAID) -> None:
        """Finds."""

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find.parameters["properties"] == {"what": {}}


def test_no_part_of_a_schema_points_at_what_was_written_out():
    @tool
    def feed(animal: typing.Annotated[Cat | Dog, Field(discriminator="kind")]) -> None:
        """Feeds."""

    assert "$defs" not in str(feed.parameters)
    assert feed.bind('{"animal": {"kind": "dog"}}') == {"animal": {"kind": "dog"}}
    assert "'cat', 'dog'" in refusal(feed, '{"animal": {"kind": "cow"}}')


def test_types_that_contain_each_other_have_their_definitions_and_no_others():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "c": {"$ref": "#/$defs/C"}},
        "$defs": {
            "A": {"title": "A", "properties": {"b": {"$ref": "#/$defs/B"}}},
            "B": {"title": "B", "properties": {"a": {"$ref": "#/$defs/A"}}},
            "C": {"title": "C", "type": "integer"},
        },
    }
    plain = plain_schema(schema)
    assert plain["properties"]["c"] == {"type": "integer"}
    assert set(plain["$defs"]) == {"A"}
    assert "title" not in str(plain)
    validator = Draft202012Validator(plain)
    assert validator.is_valid({"a": {"b": {"a": {"b": {}}}}})


def test_what_the_annotation_says_wins_over_the_docstring():
    @tool
    def go(
        where: typing.Annotated[str, Field(description="from the field")],
        when: typing.Annotated[str, "from the annotation"],
        how: str,
    ) -> None:
        """Goes.

        Args:
            where: from the docstring.
            when: from the docstring.
            how: from the docstring: by car,
                by train.

        Raises:
            ValueError: never.
        """

    told = {name: one["description"] for name, one in go.parameters["properties"].items()}
    assert told == {
        "where": "from the field",
        "when": "from the annotation",
        "how": "from the docstring: by car, by train.",
    }


# --- functions of every kind ---


@pytest.mark.parametrize("annotation", ["Progress", "progress.Progress", "Progress | None"])
def test_an_annotation_in_quotes_is_progress_all_the_same(annotation):
    scope = {"Progress": Progress}
    exec(f"def f(x: 'int', p: '{annotation}' = None): ...", scope)  # noqa: S102 - as short as it gets
    one = tool(scope["f"])
    assert one.progress_parameter == "p"
    assert list(one.parameters["properties"]) == ["x"]


def test_progress_may_be_optional():
    @tool
    def load(progress: Progress | None = None) -> None:
        """Loads."""

    assert load.progress_parameter == "progress"


def test_a_return_type_that_only_type_checkers_know_does_no_harm():
    def look(x: int) -> "Unknown":  # noqa: F821 - the point
        """Looks."""

    assert tool(look).bind('{"x": 1}') == {"x": 1}


def test_a_type_of_that_kind_is_refused_with_the_tools_name():
    def look(x: "Unknown") -> int:  # noqa: F821 - the point
        """Looks."""

    with pytest.raises(TypeError, match=r"look cannot be described: .*Unknown"):
        tool(look).on_wire()


def test_a_partial_hides_what_it_has_filled_in():
    def fetch(key: str, url: str) -> str:
        """Fetches."""
        return f"{key} {url}"

    one = Tool(functools.partial(fetch, key="canary"))
    assert (one.name, one.description) == ("fetch", "Fetches.")
    assert "canary" not in str(one.on_wire())
    assert one.function(**one.bind('{"url": "u"}')) == "canary u"
    assert "no such argument" in refusal(one, '{"url": "u", "key": "mine"}')


def test_a_decorated_function_is_described_by_the_one_inside():
    def inner(x: int) -> int:
        """Inner."""
        return x

    @functools.wraps(inner)
    def outer(*args, **kwargs):
        return inner(*args, **kwargs)

    assert tool(outer).bind('{"x": "3"}') == {"x": 3}


async def test_an_object_that_is_called_is_a_tool():
    class Search:
        """Searches."""

        async def __call__(self, query: str) -> str:
            return query

    one = Tool(Search(), name="search")
    assert one.is_async
    assert one.description == "Searches."
    assert await one.function(**one.bind('{"query": "q"}')) == "q"


def test_a_method_without_its_object_is_refused_with_what_to_do():
    class Shop:
        def price(self, item: str) -> int:
            """What it costs."""

    with pytest.raises(TypeError, match="make the tool of an object's method"):
        tool(Shop.price)


def test_a_generator_is_refused_at_once():
    def count(to: int):
        yield from range(to)

    async def count_async(to: int):
        yield to

    for function in (count, count_async):
        with pytest.raises(TypeError, match="yields"):
            tool(function)


# --- what a model writes becomes what the function takes ---


class Size(enum.Enum):
    SMALL = "s"


class Order(BaseModel):
    model_config = ConfigDict(strict=True)
    when: dt.date
    size: Size


@pytest.mark.parametrize(
    ("annotation", "written", "taken"),
    [
        (dt.date | str, '"2026-01-02"', dt.date(2026, 1, 2)),
        (
            uuid.UUID | str,
            '"12345678123456781234567812345678"',
            uuid.UUID(int=int("12345678" * 4, 16)),
        ),
        (typing.Annotated[dt.date, Field(strict=True)], '"2026-01-02"', dt.date(2026, 1, 2)),
        (
            Order,
            '{"when": "2026-01-02", "size": "s"}',
            Order(when=dt.date(2026, 1, 2), size=Size.SMALL),
        ),
        (int, "100000000000000000001", 10**20 + 1),
    ],
)
def test_a_text_is_read_as_the_type_means_it_also_strictly(annotation, written, taken):
    def take(x: object) -> None:
        """Takes."""

    take.__annotations__["x"] = annotation
    assert tool(take).bind(f'{{"x": {written}}}') == {"x": taken}


# --- what a model is told ---


@tool
def book(span: Span, hotel: str = "", stars: int = 3) -> None:
    """Books."""


def test_an_unknown_argument_is_answered_with_those_there_are():
    told = refusal(book, '{"span": {"first": 1, "last": 2}, "days": 2}')
    assert told.endswith("days: there is no such argument; there are: span, hotel, stars")


def test_whatever_a_types_own_check_raises_is_told():
    assert "LookupError: last is before first" in refusal(book, '{"span": {"first": 2, "last": 1}}')


def test_a_name_of_any_length_hides_no_message():
    told = refusal(book, '{"%s": 1, "span": {"first": 1, "last": 2}}' % ("k" * 100_000))
    assert "there is no such argument" in told
    assert len(told) < 400


def test_of_many_errors_the_first_are_told_and_the_rest_counted():
    @tool
    def add(numbers: list[int]) -> None:
        """Adds."""

    told = refusal(add, '{"numbers": ["a", "b", "c", "d", "e", "f", "g"]}')
    assert "numbers.4" in told
    assert told.endswith("and 2 more")


@given(st.text(max_size=40) | st.binary(max_size=20).map(repr))
def test_no_text_does_anything_but_fit_or_be_refused(text):
    try:
        bound = book.bind(text)
    except ToolArgumentsError:
        return
    assert set(bound) <= {"span", "hotel", "stars"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["span", "hotel", "stars", "x"]), JSON))
def test_what_is_taken_has_the_signatures_types(arguments):
    try:
        bound = book.bind(json.dumps(arguments))
    except ToolArgumentsError:
        return
    assert isinstance(bound["span"], Span)
    assert isinstance(bound.get("hotel", ""), str)
    assert isinstance(bound.get("stars", 3), int)


@pytest.mark.parametrize(
    ("docstring", "described"),
    [
        ("One line.", {}),
        ("One.\n\nArgs:\n    a: x\n    b (int, optional): y: z\n", {"a": "x", "b": "y: z"}),
        ("One.\n\nArgs:\n    a: x\n\nReturns:\n    b: not one\n", {"a": "x"}),
        ("One.\n\nArgs:\n    a:\n        on the next line\n", {"a": "on the next line"}),
    ],
)
def test_a_docstring_says_what_the_arguments_are(docstring, described):
    assert signature.described_arguments(docstring) == described


# --- a schema of one's own ---


def own(**properties: typing.Any) -> Tool:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}

    def take(**given: object) -> object:
        """Takes."""
        return given

    return Tool(take, parameters=schema)


def test_a_value_of_any_length_does_not_hide_what_is_allowed():
    told = refusal(own(mode={"enum": ["fast", "slow"]}), '{"mode": "%s"}' % ("z" * 5000))
    assert "is not one of ['fast', 'slow']" in told
    assert len(told) < 400


def test_a_property_that_does_not_exist_is_answered_with_those_that_do():
    assert refusal(own(mode={}, n={}), '{"%s": 1}' % ("w" * 5000)).endswith("there are: mode, n")


def test_a_value_nested_without_end_is_refused():
    told = refusal(own(a={"$ref": "#"}), '{"a":' * 900 + "{}" + "}" * 900)
    assert told == "The arguments are nested too deeply."


@pytest.mark.parametrize("reference", ["#/$defs/nowhere", "http://127.0.0.1:1/schema.json"])
def test_a_reference_to_what_is_not_there_is_refused_at_once_and_never_fetched(reference):
    with pytest.raises(ValueError, match="to refer to"):
        own(a={"$ref": reference})
