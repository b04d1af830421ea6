"""A function as a tool: its signature describes and checks it, and it is called as before."""

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
import threading
import typing

import pytest
from pydantic import Field

import xwe
from xwe.core.nlp.tools import events
from xwe.core.nlp.tools.policy import AgentPolicy
from xwe.core.nlp.tools.progress import Progress
from xwe.core.nlp.tools.registry import ToolRegistry
from xwe.core.nlp.tools.tool import MAX_RESULT_CHARACTERS, Tool, result_text, tool
from xwe.errors import ToolArgumentsError


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    city: str
    country: str = "中国"


@dataclasses.dataclass
class Tree:
    name: str
    children: list["Tree"] = dataclasses.field(default_factory=list)


@tool(effect="read_only", timeout_s=5)
async def weather(  # noqa: D417 - one is described by its annotation
    city: str,
    days: typing.Annotated[int, Field(ge=1, le=7)] = 1,
    unit: Unit = Unit.CELSIUS,
    note: typing.Annotated[str | None, "for the log"] = None,
) -> str:
    """The weather of the next days in a city.

    More that the model need not know.

    Args:
        city: its name, in the language
            of its country.
        days (int): how many.
        unit: of the temperature.
    """
    return f"{city} {days} {unit} {note}"


def test_the_description_is_the_docstrings_first_paragraph():
    assert weather.description == "The weather of the next days in a city."


def test_the_schema_says_what_the_signature_says():
    schema = weather.parameters
    assert schema["type"] == "object"
    assert schema["required"] == ["city"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["city"] == {
        "type": "string",
        "description": "its name, in the language of its country.",
    }
    assert properties["days"]["type"] == "integer"
    assert (properties["days"]["minimum"], properties["days"]["maximum"]) == (1, 7)
    assert properties["days"]["default"] == 1
    assert properties["unit"]["enum"] == ["c", "f"]
    assert properties["note"]["description"] == "for the log"
    assert "$ref" not in str(schema)
    assert "title" not in str(schema)


def test_the_wire_has_the_providers_shape():
    described = weather.on_wire()
    assert described["type"] == "function"
    assert set(described["function"]) == {"name", "description", "parameters"}


async def test_a_tool_is_called_like_its_function():
    assert await weather("北京", days=2) == "北京 2 Unit.CELSIUS None"
    assert weather.is_async


def test_arguments_become_the_signatures_types():
    bound = weather.bind('{"city": "北京", "days": 3, "unit": "f"}')
    assert bound == {"city": "北京", "days": 3, "unit": Unit.FAHRENHEIT}


def test_what_was_not_given_is_left_to_the_function():
    assert weather.bind('{"city": "x"}') == {"city": "x"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{}", "city"),
        ('{"city": "x", "days": 9}', "days"),
        ('{"city": "x", "unit": "k"}', "unit"),
        ('{"city": "x", "colour": 1}', "colour"),
        ('{"city": 1}', "city"),
        ("[]", "arguments"),
        ('{"city"', "arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, told):
    with pytest.raises(ToolArgumentsError, match=told):
        weather.bind(arguments)


def test_an_error_does_not_repeat_what_was_sent():
    with pytest.raises(ToolArgumentsError) as caught:
        weather.bind('{"city": "x", "days": "%s"}' % ("y" * 5000))
    assert len(caught.value.message) < 400


def test_no_arguments_are_an_empty_object():
    @tool
    def ping() -> str:
        """Answers."""
        return "pong"

    assert ping.bind("") == {}
    assert ping.parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_structured_types_are_written_out_in_place():
    @tool
    def go(places: list[Place], when: dt.date, how: typing.Literal["car", "foot"]) -> None:
        """Goes."""

    items = go.parameters["properties"]["places"]["items"]
    assert items["properties"]["country"]["default"] == "中国"
    bound = go.bind('{"places": [{"city": "北京"}], "when": "2026-01-02", "how": "car"}')
    assert bound["places"] == [Place("北京")]
    assert bound["when"] == dt.date(2026, 1, 2)


def test_parameters_may_have_names_that_the_schema_uses_itself():
    @tool
    def write(title: str, schema: str, properties: dict[str, str], model_config: int = 1) -> None:
        """Writes."""

    assert set(write.parameters["properties"]) == {"title", "schema", "properties", "model_config"}
    assert write.bind('{"title": "a", "schema": "b", "properties": {}}')["title"] == "a"


def test_a_type_that_contains_itself_keeps_its_reference():
    @tool
    def plant(tree: Tree) -> None:
        """Plants."""

    assert "Tree" in plant.parameters["$defs"]
    bound = plant.bind('{"tree": {"name": "a", "children": [{"name": "b"}]}}')
    assert bound["tree"].children[0].name == "b"


def test_a_type_that_no_schema_describes_is_refused_with_the_tools_name():
    @tool
    def keep(lock: threading.Lock().__class__) -> None:
        """Keeps."""

    with pytest.raises(TypeError, match="keep cannot be described"):
        keep.on_wire()


def test_what_is_unknown_counts_as_a_side_effect():
    @tool
    def pay() -> None:
        """Pays."""

    assert pay.effect == "side_effect"
    assert not pay.is_async


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): ...",
        "def f(*x: int): ...",
        "def f(**x: int): ...",
        "def f(x: int, /): ...",
    ],
)
def test_a_parameter_that_no_model_can_fill_is_refused_at_once(source):
    scope = {}
    exec(source, scope)  # noqa: S102 - as short as it gets
    with pytest.raises(TypeError, match=r"f cannot be described: x"):
        tool(scope["f"])


@pytest.mark.parametrize(
    "options",
    [
        {"name": "a b"},
        {"name": "x" * 65},
        {"effect": "none"},
        {"on_result": "shout"},
        {"timeout_s": 0},
        {"parameters": {"type": "array"}},
        {"parameters": {"type": "nonsense"}},
    ],
)
def test_options_that_cannot_be_used_are_refused_at_once(options):
    with pytest.raises(ValueError, match=next(iter(options)) + "|name"):
        Tool(weather.function, **options)


def test_a_schema_of_ones_own_is_what_arguments_are_checked_by():
    @tool(parameters={"type": "object", "properties": {"n": {"type": "integer"}}})
    def count(n: object = None) -> object:
        return n

    assert count.bind('{"n": 3}') == {"n": 3}
    for arguments in ('{"n": "3"}', "{", "[]"):
        with pytest.raises(ToolArgumentsError):
            count.bind(arguments)


def test_a_progress_parameter_is_not_the_models_to_fill():
    @tool
    def download(url: str, progress: Progress) -> str:
        """Downloads."""
        progress(2, "done")
        return url

    assert download.progress_parameter == "progress"
    assert list(download.parameters["properties"]) == ["url"]
    told = []
    download("x", Progress(lambda *said: told.append(said)))
    assert told == [(1.0, "done")]


def test_a_method_of_an_object_can_be_a_tool():
    class Shop:
        def price(self, item: str) -> int:
            """What it costs."""
            return len(item)

    price = Tool(Shop().price, effect="read_only")
    assert list(price.parameters["properties"]) == ["item"]
    assert price.function(**price.bind('{"item": "tea"}')) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is 中", "as it is 中"),
        (None, "null"),
        ({"中": 1}, '{"中":1}'),
        ([1, 2.5], "[1,2.5]"),
        (Place("北京"), '{"city":"北京","country":"中国"}'),
        (Unit.CELSIUS, '"c"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        ({1, 2}, "[1,2]"),
        ((1, "a"), '[1,"a"]'),
        (2**70, str(2**70)),
        (b"raw", "\"b'raw'\""),
    ],
)
def test_a_result_is_told_as_text_or_json(value, text):
    assert result_text(value) == text


def test_a_result_without_end_is_cut_and_says_so():
    text = result_text("x" * (MAX_RESULT_CHARACTERS + 7))
    assert text.endswith("[7 more characters were left out]")


def test_a_tool_costs_no_import_before_it_is_described():
    code = (
        "import sys; from xwe.core.nlp.tools.tool import tool\n"
        "@tool\ndef f(x: int) -> int: return x\n"
        "assert not {'pydantic', 'jsonschema'} & set(sys.modules), 'imported'\n"
        "f.on_wire()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_what_tools_are_made_with():
    assert (xwe.tool, xwe.Tool, xwe.ToolRegistry) == (tool, Tool, ToolRegistry)
    assert (xwe.Progress, xwe.AgentPolicy, xwe.events) == (Progress, AgentPolicy, events)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("half \ud83d", "half \ufffd"),
        ("whole \ud83d\ude00", "whole 😀"),
        ({"a": "\ud83d"}, '{"a": "\ufffd"}'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_no_result_makes_the_next_request_impossible(value, text):
    assert result_text(value) == text
    assert result_text(value).encode()


def test_a_result_that_contains_itself_is_told_as_text():
    circle = []
    circle.append(circle)
    assert result_text(circle) == "[[...]]"
