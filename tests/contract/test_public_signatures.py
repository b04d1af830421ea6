"""What outsiders import, call and ask for, as it was recorded in `recorded/`.

Whoever changes it on purpose records it anew (`RECORD_STREAMS=1`); the change shows in the diff.
"""

import importlib
import inspect
import re

from transcript import Transcript

import xwe
from xwe import errors
from xwe.bootstrap import build_services
from xwe.settings import load_settings
from xwe.web import create_app

MODULES = (
    "xwe.core.nlp.llm_client",
    "xwe.core.nlp.async_utils",
    "xwe.core.nlp.tools.events",
    "xwe.core.nlp.tools.progress",
    "xwe.core.nlp.tools.policy",
    "xwe.core.concurrency.loop_thread",
)
LOOP_THREAD = ("get_loop_thread",)


def signature(name, value):
    """Lines about one name, with its public methods."""
    if inspect.isclass(value):
        lines = [f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"]
        for member, function in sorted(vars(value).items()):
            called = inspect.unwrap(getattr(function, "__func__", function))
            is_public = not member.startswith("_") or member in {"__init__", "__call__"}
            if is_public and inspect.isfunction(called):
                kind = "async def" if inspect.iscoroutinefunction(called) else "def"
                lines.append(f"    {kind} {member}{inspect.signature(called)}")
            elif is_public and isinstance(function, property):
                lines.append(f"    property {member}")
        return lines
    if inspect.isfunction(value):
        kind = "async def" if inspect.iscoroutinefunction(value) else "def"
        return [f"{kind} {name}{inspect.signature(value)}"]
    return [name]


def public(module):
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return sorted(names)


def text_of(module, names):
    lines = [line for name in names for line in signature(name, getattr(module, name))]
    # Where a class is defined is our own business; default objects have an address.
    return re.sub(r"xwe\.[\w.]+\.(?=\w)| (?:object )?at 0x\w+", "", "\n".join(lines))


def test_the_names_that_outsiders_import_are_as_they_were():
    transcript = Transcript("signatures")
    transcript.say("xwe", text_of(xwe, sorted(xwe.__all__)))
    for name in MODULES:
        module = importlib.import_module(name)
        names = LOOP_THREAD if name.endswith("loop_thread") else public(module)
        transcript.say(name, text_of(module, names))
    transcript.check()


def test_the_errors_and_their_codes_are_as_they_were():
    found = [
        f"{name}({', '.join(base.__name__ for base in error.__bases__)}) {error.code} "
        f"retryable={error.retryable}"
        for name, error in sorted(vars(errors).items())
        if inspect.isclass(error) and issubclass(error, errors.XweError)
    ]
    transcript = Transcript("errors")
    transcript.say("xwe.errors", "\n".join(found))
    transcript.check()


def test_the_addresses_are_as_they_were(tmp_path):
    environ = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    settings = load_settings(environ | {"XWE_DATABASE_URL": f"sqlite:///{tmp_path}/xwe.db"})
    services = build_services(settings)
    try:
        app = create_app(settings, services)
        rules = sorted(
            f"{rule.rule} {' '.join(sorted(rule.methods - {'HEAD', 'OPTIONS'}))}"
            for rule in app.url_map.iter_rules()
        )
    finally:
        services.close()
    transcript = Transcript("addresses")
    transcript.say("url map", re.sub(r"<\w+:(\w+)>|<(\w+)>", "<>", "\n".join(rules)))
    transcript.check()
