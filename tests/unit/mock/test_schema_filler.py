"""Values for schemas: valid ones, or a refusal."""

import contextlib
import random
import re
import socket
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from xwe.errors import InvalidRequestError
from xwe.mock.demo_model.pattern_text import matching_text
from xwe.mock.demo_model.schema_filler import fill_schema
from xwe.mock.demo_model.topic import read_topic

# The machine may be busy with other tests.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rng_of(seed):
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


ENGLISH = read_topic("Describe a ferryman, please")
CHINESE = read_topic("请写一份“林晓”的资料")

# The pattern is invalid, asks for too much, or is not understood.
UNMATCHED = (re.error, ValueError, OverflowError, RecursionError)

NAMES = st.sampled_from(["name", "age", "tags", "score", "姓名", "经历", "a", "b_c"])


@st.composite
def strings(draw):
    least = draw(st.integers(0, 30))
    schema = {"type": "string", "minLength": least}
    if draw(st.booleans()):
        schema["maxLength"] = least + draw(st.integers(0, 20))
    elif draw(st.booleans()):
        return {"type": "string", "pattern": draw(st.sampled_from(PATTERNS))}
    if draw(st.booleans()):
        schema["format"] = draw(st.sampled_from(["date", "email", "uuid", "uri", "unknown"]))
    return schema


@st.composite
def numbers(draw):
    kind = draw(st.sampled_from(["integer", "number"]))
    schema = {"type": kind}
    low = draw(st.integers(-1000, 1000))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        high = low + draw(st.integers(2, 500))
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high
    if len(schema) < 3 and draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 7, 25, 0.5, 0.25]))
    return schema


LEAVES = st.one_of(
    strings(),
    numbers(),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, True]),
    st.just({"type": ["null", "string"]}),
    st.lists(st.integers() | st.text(max_size=5), min_size=1, max_size=4).map(
        lambda members: {"enum": members}
    ),
    st.builds(lambda value: {"const": value}, st.none() | st.text(max_size=5) | st.integers()),
)


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema = {"type": "object", "properties": properties}
    schema["required"] = draw(
        st.lists(st.sampled_from([*properties, "name", "extra"]), unique=True)
    )
    if draw(st.booleans()):
        schema["required"] = [n for n in schema["required"] if n in properties]
        schema["additionalProperties"] = False
    elif draw(st.booleans()):
        schema["additionalProperties"] = draw(inner)
        schema["minProperties"] = draw(st.integers(0, 6))
    return schema


@st.composite
def arrays(draw, inner):
    least = draw(st.integers(0, 3))
    schema = {"type": "array", "items": draw(inner), "minItems": least}
    if draw(st.booleans()):
        schema["maxItems"] = least + draw(st.integers(0, 2))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=2))
    return schema


@st.composite
def choices(draw, inner):
    keyword = draw(st.sampled_from(["anyOf", "allOf"]))
    branches = draw(st.lists(inner, min_size=1, max_size=3 if keyword == "anyOf" else 1))
    return {keyword: branches}


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: objects(inner) | arrays(inner) | choices(inner),
    max_leaves=8,
)

PATTERNS = [
    r"^[A-Z]{3}-\d{4}$",
    r"^\+?\d{1,3}( \d{2,4}){2}$",
    r"^(?:red|green|blue)$",
    r"^[a-z0-9_-]+@[a-z]+\.(com|org)$",
    r"\d",
    r"^[^\s@]+$",
    r"^#[0-9a-fA-F]{6}$",
    r"^\w+(\.\w+)*$",
    r"^[\u4e00-\u9fff]{2,4}$",
    r"^(?P<year>20\d\d)-(0[1-9]|1[0-2])$",
    r"^.{5,10}$",
    r"^[^a-z]+?$",
    r"colou?r",
    r"^$",
]


@given(SCHEMAS, st.integers(0, 3))
@UNHURRIED
def test_generated_schemas_are_filled_with_valid_values(schema, seed):
    root = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    for topic in (ENGLISH, CHINESE):
        value = fill_schema(root, topic, seed, field="schema")
        Draft202012Validator(root).validate(value)
        assert fill_schema(root, topic, seed, field="schema") == value


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["title", "children", "next"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"oneOf": [{"type": "integer"}, {"type": "integer", "multipleOf": 3}]},
        {"type": "string", "not": {"const": "北京"}},
        {"allOf": [{"minimum": 3}, {"maximum": 4}, {"type": "integer"}]},
        {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}]},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
        {"type": "array", "items": {"type": "string"}, "minItems": 30, "uniqueItems": True},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False, "minItems": 1},
        {"type": "object", "properties": {"a": {}}, "dependentRequired": {"a": ["b"]}},
        {"type": "object", "maxProperties": 1, "properties": {"a": {}, "b": {}}, "required": ["b"]},
        {"type": "number", "multipleOf": 0.1, "minimum": 0.05},
        {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.2},
        {"type": "integer", "minimum": 2**62},
        {"type": "string", "minLength": 3.0, "maxLength": 3.0},
        {"type": "array", "minItems": 4.0, "items": {"type": "object", "minProperties": 2.0}},
        {"type": "string", "pattern": "^a+$", "minLength": 12, "maxLength": 12},
        {"anyOf": [{"type": "string", "maxLength": 3}], "minLength": 2},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/n"}], "$defs": {"n": {"type": "integer"}}},
        {"$ref": "#/$defs/a~1b/allOf/0", "$defs": {"a/b": {"allOf": [{"type": "integer"}]}}},
    ],
)
def test_schemas_with_a_twist_are_filled(schema):
    value = fill_schema(schema, ENGLISH, 0, field="schema")
    Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#"},
        {"$ref": "#/x/0", "x": [[1]]},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "string", "pattern": "^(?=x)x$"},
        {"not": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}, "contains": {"const": 7}, "minItems": 3},
        {"type": "object", "patternProperties": {"^x_": {"type": "integer"}}, "required": ["x_a"]},
        {"type": "string", "pattern": "("},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 5_000, "items": {"type": "array", "minItems": 5_000}},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
    ],
)
def test_what_cannot_be_filled_is_refused_by_field(schema):
    """Impossible, elsewhere, endless, too large or out of reach: refused at once."""
    with pytest.raises(InvalidRequestError) as caught:
        fill_schema(schema, ENGLISH, 0, field="the.schema")
    assert caught.value.field == "the.schema"
    assert "demo model cannot fill this" in caught.value.message


@pytest.mark.filterwarnings("ignore")  # the validator warns before it fetches
def test_a_reference_to_elsewhere_is_never_fetched():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        with pytest.raises(InvalidRequestError):
            fill_schema({"type": "string", "not": {"$ref": url}}, ENGLISH, 0, field="s")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_values_are_plausible_and_in_the_language_of_the_prompt():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "email": {"type": "string"},
            "summary": {"type": "string"},
        },
    }
    chinese = fill_schema(schema, CHINESE, 0, field="schema")
    english = fill_schema(schema, ENGLISH, 0, field="schema")
    assert chinese["name"] == "林晓"
    assert "演示" in chinese["summary"]
    assert english["summary"].isascii() or "“" in english["summary"]
    assert 18 <= english["age"] <= 60
    assert "@" in english["email"]


def test_a_member_that_the_prompt_mentions_is_chosen():
    schema = {"enum": ["celsius", "fahrenheit", "kelvin"]}
    topic = read_topic("The weather in kelvin, please")
    assert {fill_schema(schema, topic, seed, field="s") for seed in range(5)} == {"kelvin"}


def test_seeds_vary_the_values():
    schema = {"type": "integer", "minimum": 0, "maximum": 10**6}
    assert len({fill_schema(schema, ENGLISH, seed, field="s") for seed in range(10)}) > 3


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("seed", range(5))
def test_a_text_matches_its_pattern(pattern, seed):
    assert re.search(pattern, matching_text(pattern, rng_of(seed)))


@pytest.mark.parametrize(
    "pattern",
    [
        "((a{999}){999}){999}",
        "(" * 500 + "a",
        "a{99999999999}",
        "[z-a]",
        r"\xZZ",
        "(?=a)",
        r"(a)\1",
    ],
)
def test_a_pattern_that_asks_for_too_much_is_given_up_at_once(pattern):
    with pytest.raises(UNMATCHED):
        matching_text(pattern, rng_of(0))


def test_a_text_meets_both_its_pattern_and_its_shortest_length():
    rng = rng_of(0)
    assert matching_text("^a+$", rng, 300) == "a" * 300
    assert len(matching_text("colou?r", rng, 40)) == 40
    assert len(matching_text("^(a+)+$", rng, 200)) >= 200
    with pytest.raises(UNMATCHED):
        matching_text("^abc$", rng, 4)


@given(st.text(alphabet="()[]{}|*+?^$.\\-,:<>=!" + string.ascii_letters + "019", max_size=12))
@UNHURRIED
def test_no_pattern_breaks_the_generator(pattern):
    with contextlib.suppress(*UNMATCHED):
        assert re.search(pattern, matching_text(pattern, rng_of(0)))
