"""What each route says to a body that it cannot take, as recorded in `recorded/`.

Whoever reads bodies in another way leaves these as they are: the status, and the error's words.
"""

import http.client
import json
from contextlib import closing
from urllib.parse import quote, urlsplit

import pytest
from chat_person import Person
from transcript import Transcript

from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

ROLE = quote("孙悟空")
CHARACTER = f"/api/characters/{ROLE}"
CHAT = f"/api/chat/{ROLE}"
LONG = "x" * 200_001
# What a text may not be: missing, null, another kind of value, empty, too long, with a NUL.
TEXTS = [None, 7, True, [], {}, "", " \n", LONG, "a\0b"]
NUMBERS = ["1", True, 1.5, 0, -1, 10**30, [], {}]
MESSAGES = [
    7,
    {},
    [7],
    [{}],
    [{"role": "user"}],
    [{"role": "tool", "content": "a"}],
    [{"role": ["user"], "content": "a"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": 7}],
    [{"role": "user", "content": LONG}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "a\0b"}],
    [{"role": "user", "content": "a"}] * 1001,
]


def each(field, values, **others):
    """A body for each value of a field, and one without it."""
    return [others, *({**others, field: value} for value in values)]


def chat(text):
    """Bodies of the routes that ask the model; `text` is the field of the question."""
    given = {text: "hi"}
    return [*each(text, TEXTS), *each("messages", MESSAGES, **given)[1:]]


def sampled(text, **others):
    given = {text: "hi", **others}
    return [
        *each("temperature", ["1", True, -1, 2.1, 10**400, [], {}], **given)[1:],
        *each("max_tokens", NUMBERS, **given)[1:],
    ]


ANSWERED = [
    ("POST", "/api/llm/chat", [*chat("message"), *sampled("message")]),
    ("POST", "/api/llm/chat", each("system_prompt", [7, [], LONG, "a\0b"], message="hi")[1:]),
    ("POST", "/api/llm/conversation", [*each("messages", MESSAGES, new_message="hi")]),
    ("POST", "/api/llm/conversation", each("new_message", TEXTS, messages=[])),
    ("POST", "/api/llm/batch", each("prompts", [None, 7, "a", {}, ["a"] * 1001])),
    ("POST", "/api/llm/batch", each("limit", [*NUMBERS, 101], prompts=["a"])[1:]),
    ("POST", "/api/llm/stream", [*chat("message"), *sampled("message")]),
    ("POST", "/chat", chat("prompt")),
    ("POST", "/api/agent/stream", each("mode", [7, [], {}, "", "turbo"], message="hi")[1:]),
    ("POST", "/api/agent/stream", each("await", [7, [], "most"], message="hi")[1:]),
    ("POST", "/api/agent/stream", each("tools", [7, "weather", [7], ["no"]], message="hi")[1:]),
    ("POST", CHAT + "/messages", each("content", TEXTS)),
    (
        "POST",
        CHAT + "/messages",
        each("client_id", [7, [], "", "a\n", "a" * 129], content="hi")[1:],
    ),
    ("POST", CHAT + "/stream", each("content", TEXTS)),
    (
        "POST",
        "/auth/register",
        each("username", [None, 7, "", "a", "a b", "a" * 100], password="x"),
    ),
    ("POST", "/auth/register", each("password", [None, 7, "", "short"], username="somebody")),
    ("POST", "/auth/login", each("password", [None, 7, ""], username="somebody")),
    ("POST", "/auth/password", each("new", [None, 7, "", "short"], old="a long password")),
    ("POST", "/auth/password", each("old", [None, 7, "", "wrong"], new="another password")),
    ("POST", "/api/me/tokens", each("name", [None, 7, "", " ", "a" * 1000])),
    ("PUT", "/api/me/settings", [{"theme": "x" * 100_000}, {"": 1}, {"a\0b": 1}]),
    (
        "POST",
        "/api/characters",
        each("role", [None, 7, "", " ", "x" * 201, "a\0b", "a/b"], text="a"),
    ),
    ("POST", "/api/characters", each("source", [7, [], "", "nowhere"], role="x", text="a")[1:]),
    ("POST", "/api/characters", each("text", [None, 7, "", "a\0b"], role="x")),
    ("POST", "/api/characters", each("language", [7, [], "", "fr"], role="x", text="a")[1:]),
    ("POST", "/api/characters", each("model", [7, [], "m" * 201], role="x", text="a")[1:]),
    ("POST", "/api/characters", each("title", [7, "t" * 201], role="x", source="baike")[1:]),
    ("PUT", CHARACTER + "/structured", each("version", [None, "1", True, 1.5, 99])),
    ("PUT", CHARACTER + "/structured", each("first_message", [7, [], "a\0b"], version=1)[1:]),
    ("PUT", CHARACTER + "/structured", each("背景故事", [7, [], {}, {"出身": 7}], version=1)[1:]),
    ("PUT", CHARACTER + "/structured", each("nothing", [7, {}], version=1)[1:]),
    ("PUT", CHARACTER + "/memories", each("short_term", [7, {}, [7], ["x" * 4001], ["a\0b"]])[1:]),
    ("PUT", CHARACTER + "/rename", each("new_name", [None, 7, "", " ", "x" * 201, "a/b"])),
    ("POST", CHARACTER + "/copy", each("new_name", [7, [], " ", "x" * 201])[1:]),
    ("POST", CHARACTER + "/complete", each("model", [7, [], "m" * 201])[1:]),
    ("POST", CHARACTER + "/categories/nothing/retry", [{}]),
]
QUERIES = [
    *(f"/chat?prompt={text}" for text in ("", "%20", "a%00b", "%ff")),
    "/chat",
    *(f"{CHAT}/stream?content={text}" for text in ("", "%20", "a%00b", "%ff")),
    f"{CHAT}/stream?content=a&client_id=a%0a",
    *(f"{CHAT}/messages?before_seq={text}" for text in ("x", "-1", "1.5", "%C2%B2")),
    f"{CHAT}/messages?after_seq=x",
    f"{CHAT}/messages?limit=x",
    *(f"/api/tasks?limit={text}" for text in ("", "0", "x", "-1")),
    "/api/tasks?before_id=x",
    "/api/tasks/x",
    "/api/generations/x/events?after=x",
]
NO_JSON = [b"", b"{", b"[]", b"7", b"null", b'"a"', b"\xff", b'{"a": NaN}', b"[" * 2000]


@pytest.fixture(scope="module")
def person(serve, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('database')}/xwe.db"
    upgrade(url)
    limits = {"XWE_USER_RPM": "1000000", "XWE_MAX_BODY": "1000000"}
    server = serve(XWE_DATABASE_URL=url, XWE_DATABASE_TIMEOUT_S="60", **limits)
    with closing(Database(url, timeout_s=60)) as database:
        yield Person(server.url, database)


def shown(value):
    """A body in a line; what is long, by its beginning."""
    text = repr(value)
    return text if len(text) < 100 else f"{text[:60]}… ({len(text)})"


def replied(person, method, path, said):
    """The status, and the error's code and words; bytes go out as they are."""
    headers = {"Sec-Fetch-Site": "same-origin", "Cookie": person.cookie}
    body = said if said is None or isinstance(said, bytes) else json.dumps(said).encode()
    netloc = urlsplit(person.url).netloc
    with closing(http.client.HTTPConnection(netloc, timeout=60)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        reply = response.read()
    if response.getheader("Content-Type") != "application/json" or b'"error"' not in reply:
        return f"{response.status}"
    error = json.loads(reply)["error"]
    return f"{response.status} {error['code']}: {error['message']}"


def test_refused_bodies(person):
    transcript = Transcript("refused_bodies")
    for method, path, bodies in ANSWERED:
        lines = [f"{shown(said)}\n    {replied(person, method, path, said)}" for said in bodies]
        transcript.say(f"{method} {path.replace(ROLE, '<role>')}", "\n".join(lines))
    transcript.check()


def test_refused_texts(person):
    """What is no JSON object at all."""
    transcript = Transcript("refused_texts")
    for method, path in (("POST", "/api/llm/chat"), ("POST", "/chat"), ("POST", "/api/characters")):
        lines = [f"{shown(said)}\n    {replied(person, method, path, said)}" for said in NO_JSON]
        transcript.say(f"{method} {path}", "\n".join(lines))
    transcript.check()


def test_refused_queries(person):
    transcript = Transcript("refused_queries")
    lines = [
        f"{path.replace(ROLE, '<role>')}\n    {replied(person, 'GET', path, None)}"
        for path in QUERIES
    ]
    transcript.say("queries", "\n".join(lines))
    transcript.check()
