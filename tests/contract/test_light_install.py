"""`pip install xwe` is the library and little else; each extra says how it is installed."""

import re

import pytest
from light_install import PROJECT, ROOT, declared, installed_for, normalized, run_light
from packaging.requirements import Requirement

from xwe.mock import MockServer

OF_THE_APPLICATION = {
    *("alembic", "argon2-cffi", "click", "flask", "gunicorn", "openai", "prometheus-client"),
    *("psycopg", "pydantic", "python-dotenv", "sqlalchemy", "websockets", "werkzeug"),
}

EVERY_MODULE_OF_THE_LIBRARY = """
import importlib, pkgutil
import xwe

FOR_AN_EXTRA = {"xwe.core.nlp.transports.openai_transport", "xwe.mock.command"}
for package in ("xwe.core", "xwe.mock", "xwe.streams"):
    path = importlib.import_module(package).__path__
    for found in pkgutil.walk_packages(path, package + "."):
        if found.name not in FOR_AN_EXTRA:
            importlib.import_module(found.name)
for name in xwe.__all__:
    getattr(xwe, name)
print("done")
"""

# Everything that one can ask of a client, on both transports of the library.
EVERY_WAY_TO_ASK = """
import sys
from xwe import LLMClient, gather_with_limit, run_async_in_sync

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}

async def streamed(client):
    async with client.stream_async("hello") as stream:
        return "".join([delta.text async for delta in stream])

for transport in ("requests", "aiohttp"):
    with LLMClient("any key", transport=transport) as client:
        assert client.chat("hello")
        with client.stream("hello") as stream:
            text = "".join(delta.text for delta in stream)
        assert text == run_async_in_sync(streamed(client)) == client.chat("hello")
        answers = gather_with_limit(map(client.chat_async, ["hello"] * 3), limit=2)
        assert run_async_in_sync(answers) == [text] * 3
        assert client.structured("Who?", SCHEMA)["name"]
print("done", "uvloop" in sys.modules)
"""

EVERY_MODULE_OF_THE_APPLICATION = """
import importlib, pkgutil
import xwe

FOR_ANOTHER_EXTRA = {"xwe.core.nlp.transports.openai_transport", "xwe.storage.postgresql"}
for found in pkgutil.walk_packages(xwe.__path__, "xwe."):
    is_run = found.name.endswith("__main__") or ".migrations." in found.name
    if not is_run and found.name not in FOR_ANOTHER_EXTRA:
        importlib.import_module(found.name)

from xwe.web import create_app

with create_app().test_client() as client:
    print(client.get("/health").status_code)
"""

COMMAND = "import sys; sys.argv[:] = ['xwe', *{arguments!r}]\nfrom xwe.cli import main\nmain()\n"
RUN_FILE = "import runpy; runpy.run_path({path!r}, run_name='program')\n"
NO_APP = re.compile(
    r"xwe: The xwe application is not installed \(no module '\w+'\)\. "
    r"Run: pip install 'xwe\[app\]'\n"
)


@pytest.fixture
def model():
    with MockServer() as server:
        yield server


def test_the_library_brings_nothing_of_the_application():
    brought = installed_for("xwe")
    assert not brought & OF_THE_APPLICATION
    assert len(brought - {"xwe"}) <= 20


def test_an_application_beside_the_library_brings_its_own_flask():
    """A pin of Flask in pyproject.toml could contradict the application's."""
    assert "flask" not in {normalized(Requirement(text).name) for text in declared()}


def test_every_module_of_the_library_is_imported_without_the_extras(tmp_path):
    done = run_light(["xwe"], EVERY_MODULE_OF_THE_LIBRARY, tmp_path)
    assert (done.stdout, done.stderr) == ("done\n", "")


WITHOUT_UVLOOP = [text for text in declared() if not text.startswith("uvloop")]


@pytest.mark.parametrize(
    ("requirements", "loop"), [(["xwe"], "uvloop"), (WITHOUT_UVLOOP, "asyncio")]
)
def test_the_client_answers_without_the_extras(model, tmp_path, requirements, loop):
    done = run_light(requirements, EVERY_WAY_TO_ASK, tmp_path, LLM_BASE_URL=model.base_url)
    assert (done.stdout, done.stderr) == (f"done {loop == 'uvloop'}\n", "")


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_first_snippet_of_the_readme_needs_flask_beside_the_library(model, tmp_path, readme):
    snippet = (ROOT / readme).read_text("utf-8").split("```python\n")[1].split("```")[0]
    asked = 'print(app.test_client().post("/api/chat", json={"message": "hello"}).json)\n'
    environ = {"LLM_BASE_URL": model.base_url, "DEEPSEEK_API_KEY": "any"}
    done = run_light(["xwe", "flask"], snippet + asked + "client.cleanup()\n", tmp_path, **environ)
    assert done.stdout.startswith("{'response': '"), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    "program",
    [
        *(COMMAND.format(arguments=(name,)) for name in ("run", "mock", "config", "--help")),
        RUN_FILE.format(path=str(ROOT / "wsgi.py")),
        RUN_FILE.format(path=str(ROOT / "config" / "gunicorn.conf.py")),
    ],
)
def test_a_program_of_the_application_says_what_to_install(tmp_path, program):
    done = run_light(["xwe"], program, tmp_path)
    assert NO_APP.fullmatch(done.stderr), done.stderr
    assert (done.stdout, done.returncode) == ("", 3)


@pytest.mark.parametrize("name", ["run", "demo", "db", "user", "jobs", "config"])
def test_a_command_beside_flask_says_what_to_install(tmp_path, name):
    """Flask brings click: the commands are listed, and one of them works."""
    done = run_light(["xwe", "flask"], COMMAND.format(arguments=(name, "--help")), tmp_path)
    assert NO_APP.fullmatch(done.stderr), done.stderr
    assert (done.stdout, done.returncode) == ("", 3)


def test_the_model_server_runs_beside_flask(tmp_path):
    done = run_light(["xwe", "flask"], COMMAND.format(arguments=("mock", "--help")), tmp_path)
    assert done.stdout.startswith("Usage: xwe mock"), done.stderr


def test_the_openai_transport_says_what_to_install(tmp_path):
    program = "from xwe import LLMClient; LLMClient('any key', transport='openai')"
    done = run_light(["xwe"], program, tmp_path)
    assert done.stderr.endswith(
        "xwe.errors.MissingExtraError: The OpenAI SDK is not installed (no module 'anyio'). "
        "Run: pip install 'xwe[openai]'\n"
    )


@pytest.mark.parametrize("extras", ["app", "app,openai"])
def test_the_application_set_to_the_openai_transport(tmp_path, extras):
    program = RUN_FILE.format(path=str(ROOT / "wsgi.py"))
    environ = {"LLM_TRANSPORT": "openai", "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    done = run_light([f"xwe[{extras}]"], program, tmp_path, LLM_PROVIDER="mock", **environ)
    if "openai" in extras:
        assert (done.stderr, done.returncode) == ("", 0)
    else:
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith("Run: pip install 'xwe[openai]'\n")
        assert done.returncode == 3


@pytest.mark.parametrize("arguments", ["db current", "user list", "run --port 0"])
def test_a_command_set_to_postgresql_says_what_to_install(tmp_path, arguments):
    program = COMMAND.format(arguments=tuple(arguments.split()))
    url = "postgresql://127.0.0.1:9/xwe"
    done = run_light(["xwe[app]"], program, tmp_path, XWE_DATABASE_URL=url, LLM_PROVIDER="mock")
    assert re.fullmatch(
        r"xwe: (XWE_DATABASE_URL: )?PostgreSQL's driver is not installed \(no module 'psycopg'\)\. "
        r"Run: pip install 'xwe\[postgres\]'\n",
        done.stderr.splitlines(keepends=True)[-1],
    )
    assert "Traceback" not in done.stderr
    assert done.returncode != 0


A_TOOL = """
from xwe import Agent, LLMClient, tool

def weather(city: str) -> str:
    "Today's weather in a city."
    return "sunny"

with LLMClient("any key") as client:
    agent = Agent(client, [{tool}])
    print([type(event).__name__ for event in agent.run("weather in Paris?")][-1])
"""
BY_SIGNATURE = A_TOOL.format(tool="tool(effect='read_only')(weather)")
BY_SCHEMA = A_TOOL.format(
    tool="tool(effect='read_only', parameters={'type': 'object', 'properties': {}})(weather)"
)


def test_a_tool_described_by_its_signature_says_what_to_install(model, tmp_path):
    done = run_light(["xwe"], BY_SIGNATURE, tmp_path, LLM_BASE_URL=model.base_url)
    assert done.stderr.endswith(
        "xwe.errors.MissingExtraError: pydantic, which describes a tool by its function's "
        "signature, is not installed (no module 'pydantic'). Run: pip install 'xwe[tools]'\n"
    )
    assert model.requests == []


@pytest.mark.parametrize(
    ("requirement", "program"), [("xwe[tools]", BY_SIGNATURE), ("xwe", BY_SCHEMA)]
)
def test_an_agent_needs_pydantic_only_for_signatures(model, tmp_path, requirement, program):
    done = run_light([requirement], program, tmp_path, LLM_BASE_URL=model.base_url)
    assert (done.stdout, done.stderr) == ("TurnEnded\n", "")


def test_the_app_extra_is_all_that_the_application_needs(model, tmp_path):
    environ = {"LLM_PROVIDER": "mock", "LLM_BASE_URL": model.base_url}
    done = run_light(["xwe[app]"], EVERY_MODULE_OF_THE_APPLICATION, tmp_path, **environ)
    assert (done.stdout, done.stderr) == ("200\n", "")


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_every_requirement_has_its_reason_in_the_table_of_its_extra(extra):
    document = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    heading = f"## `xwe[{extra}]`" if extra else "## `xwe`"
    section = document.split(heading, 1)[1].split("\n## ")[0]
    first_cells = " ".join(re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE))
    for text in declared(extra):
        assert Requirement(text).name in first_cells


@pytest.mark.parametrize("lock", ["run", "dev", "bench"])
def test_a_lock_holds_all_that_the_application_needs_and_names_no_index(lock):
    text = (ROOT / "requirements" / f"{lock}.lock").read_text("utf-8")
    pinned = {normalized(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    assert installed_for("xwe[app,openai]") - {"xwe"} <= pinned
    assert "://" not in text
    assert not re.search("^ *--(?!hash=)", text, re.MULTILINE)
