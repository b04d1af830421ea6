"""The web servers that are compared: one worker each, as their makers would deploy them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from processes import HERE, Upstream, environment, free_port, web_server

PEERS = HERE / "peers"


@dataclass(frozen=True)
class WebServer:
    """How to start a server, and how hard it may be loaded.

    Attributes:
        name: as it is printed.
        command: the module and its arguments; {port} stands for the port.
        path: where the question goes.
        burst_users: the most users that get an answer within the time limit.
        loop_users: the same for the closed loop.
        variables: of its environment; {base_url} stands for the model server's.
    """

    name: str
    command: tuple[str, ...]
    path: str = "/chat"
    burst_users: int = 1000
    loop_users: int = 1000
    variables: Mapping[str, str] = field(default_factory=dict)


# The threads, connections and backlog of xwe's own configuration, so that a peer under gunicorn
# is limited by nothing but its code.
GTHREAD = (
    *("gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
    *("--threads", "1200", "--worker-connections", "3400", "--backlog", "4096"),
    *("--no-control-socket", "--log-level", "warning", "--pythonpath", str(PEERS)),
)
UVICORN = (
    *("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--backlog", "4096"),
    *("--no-access-log", "--log-level", "warning", "--app-dir", str(PEERS)),
)

DOCUMENTS = WebServer(
    "documents' own: loop per request, 5 threads, requests.post",
    (*GTHREAD, "documents:application"),
    burst_users=100,
    loop_users=10,
)
OPENAI_PER_REQUEST = WebServer(
    "FastAPI, AsyncOpenAI made per request",
    (*UVICORN, "openai_per_request:application"),
    burst_users=100,
    loop_users=100,
)
SHARED_OPENAI = WebServer(
    "FastAPI, one shared AsyncOpenAI", (*UVICORN, "shared_openai:application")
)
SHARED_OPENAI_STREAM = WebServer(
    "FastAPI, one shared AsyncOpenAI", (*UVICORN, "shared_openai:application"), path="/stream"
)
RELAY = WebServer(
    "ASGI relay, uvicorn and aiohttp (the floor)", (*UVICORN, "relay:application"), path="/"
)
EMPTY_VIEW = WebServer("empty Flask view under gunicorn", (*GTHREAD, "empty_view:application"))
XWE = WebServer(
    "xwe, /api/llm/chat",
    (
        *("gunicorn", "--config", str(HERE.parent / "config" / "gunicorn.conf.py")),
        *("--pythonpath", str(HERE.parent), "wsgi:application"),
    ),
    path="/api/llm/chat",
    variables={
        "HOST": "127.0.0.1",
        "PORT": "{port}",
        "LLM_PROVIDER": "custom",
        "LLM_BASE_URL": "{base_url}",
        "LLM_MODEL": "bench",
        "XWE_ACCESS": "open",
        "LOG_LEVEL": "WARNING",
    },
)

XWE_STREAM = replace(XWE, name="xwe, /api/llm/stream", path="/api/llm/stream")


@dataclass(frozen=True)
class RunningServer:
    """A server that has answered its first question."""

    server: WebServer
    pid: int
    port: int


@contextmanager
def running(server: WebServer, model: Upstream) -> Iterator[RunningServer]:
    port = free_port()
    variables = {
        name: value.format(port=port, base_url=model.base_url)
        for name, value in server.variables.items()
    }
    command = [part.format(port=port) for part in server.command]
    env = environment(BENCH_ENDPOINT=model.endpoint, **variables)
    with web_server(command, port, (server.path, '{"message": "Hello"}'), env) as pid:
        yield RunningServer(server, pid, port)
