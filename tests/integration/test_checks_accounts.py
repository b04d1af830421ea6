"""Signing in, over the wire: what the cookie is, when it is dead, and who is refused."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from owned_things import PASSWORD, Person
from stream_client import rejoining
from url_map import ROUTES

from xwe.services.accounts import MAX_TOKENS
from xwe.storage.database import Database

LOGIN_ROUTES = ["/auth/me", "/api/me/settings", "/api/me/sessions", "/api/me/tokens"]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('accounts')}/xwe.db"


@pytest.fixture(scope="module")
def server(serve, url):
    return serve(XWE_DATABASE_URL=url)


@pytest.fixture
def join(server, url):
    """Makes people of new names; they leave with the test."""
    people, database = [], Database(url)

    def join(username):
        people.append(Person(server.url, database, username))
        return people[-1]

    yield join
    for person in people:
        person.close()
    database.close()


def cookie_of(person):
    return person.session.cookies.get("xwe_session")


def is_alive(server, cookie):
    """Whether the cookie, as it was once sent, still lets anybody in."""
    headers = {"Cookie": f"xwe_session={cookie}"}
    replies = {
        path: requests.get(server.url + path, headers=headers, timeout=20).status_code
        for path in LOGIN_ROUTES
    }
    assert len(set(replies.values())) == 1, replies
    return replies["/auth/me"] == 200


def test_who_registers_and_signs_in_is_told_who_they_are(join):
    ada = join("ada")
    expected = {"id": ada.account.id, "username": "ada", "is_admin": False}
    again = ada.ask("POST", "/auth/login", json={"username": "ada", "password": PASSWORD})
    assert again.json() == {"ok": True, "user": expected}
    assert ada.ask("GET", "/auth/me").json() == expected
    assert again.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("forwarded", ["http", "https"])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(server, join, forwarded):
    join(name := f"cookie-{forwarded}")
    reply = requests.post(
        f"{server.url}/auth/login",
        json={"username": name, "password": PASSWORD},
        headers={"X-Forwarded-Proto": forwarded},
        timeout=20,
    )
    attributes = {part.strip() for part in reply.headers["Set-Cookie"].split(";")}
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= attributes
    assert ("Secure" in attributes) == (forwarded == "https")


def test_the_cookie_is_dead_after_signing_out(server, join):
    person = join("leaver")
    cookie = cookie_of(person)
    assert is_alive(server, cookie)
    assert person.ask("POST", "/auth/logout").json() == {"ok": True}
    assert cookie_of(person) is None
    assert not is_alive(server, cookie)
    assert person.ask("POST", "/auth/logout").ok  # once more is no mistake


def test_the_cookie_is_dead_also_when_a_token_was_shown_beside_it(server, join):
    person = join("token-leaver")
    cookie = cookie_of(person)
    secret = person.ask("POST", "/api/me/tokens", json={"name": "script"}).json()["token"]
    bearer = {"Authorization": f"Bearer {secret}"}
    assert person.ask("POST", "/auth/logout", headers=bearer).json() == {"ok": True}
    assert not is_alive(server, cookie)
    assert person.ask("GET", "/auth/me", headers=bearer).ok  # the token is deleted by itself


def test_the_cookie_is_dead_after_a_change_of_the_password(server, join):
    person = join("changer")
    cookie = cookie_of(person)
    change = {"old": PASSWORD, "new": "another password"}
    assert person.ask("POST", "/auth/password", json=change).ok
    assert not is_alive(server, cookie)
    assert is_alive(server, cookie_of(person))  # the new one, of the browser that changed it


def test_signing_out_everywhere_ends_the_other_browsers_too(server, join):
    person = join("everywhere")
    other = requests.post(
        f"{server.url}/auth/login",
        json={"username": "everywhere", "password": PASSWORD},
        timeout=20,
    ).cookies["xwe_session"]
    assert person.ask("DELETE", "/api/me/sessions").ok
    assert not is_alive(server, other)


@pytest.mark.parametrize(
    "cookie", ["", "x", "x" * 4000, "%00", '"', "é".encode().decode("latin-1")]
)
def test_a_made_up_cookie_is_nobodys(server, cookie):
    headers = {"Cookie": f"xwe_session={cookie}"}
    assert requests.get(f"{server.url}/auth/me", headers=headers, timeout=20).status_code == 401


def test_the_sixth_wrong_login_in_a_minute_is_refused(serve):
    """On a server of its own: all tests come from one address."""
    server = serve()
    person = Person(server.url, None, "ada")

    def log_in(password):
        who = {"username": "ada", "password": password}
        return person.ask("POST", "/auth/login", json=who)

    replies = [log_in("wrong") for _ in range(6)]
    person.close()
    assert [reply.status_code for reply in replies] == [401] * 5 + [429]
    assert replies[0].json()["error"]["code"] == "wrong_password"
    assert replies[5].json()["error"]["code"] == "limit_exceeded"
    assert 0 < int(replies[5].headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "ada"},
        {"username": 1, "password": PASSWORD},
        {"username": "a/b", "password": PASSWORD},
        {"username": "adam", "password": "short"},
        {"username": "ad\u0000am", "password": PASSWORD},
    ],
    ids=str,
)
def test_what_cannot_be_an_account_is_refused_by_its_field(server, body):
    reply = requests.post(f"{server.url}/auth/register", json=body, timeout=20)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
    assert reply.json()["error"]["message"].startswith(("username", "password"))


def test_a_name_is_given_once(join, server):
    join("taken")
    who = {"username": "taken", "password": PASSWORD}
    reply = requests.post(f"{server.url}/auth/register", json=who, timeout=20)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "username_taken")


def test_twenty_who_want_one_name_at_once_are_one_account(server):
    who = {"username": "wanted", "password": PASSWORD}

    def register(_):
        return requests.post(f"{server.url}/auth/register", json=who, timeout=20).status_code

    with ThreadPoolExecutor(20) as threads:
        codes = list(threads.map(register, range(20)))
    assert sorted(codes) == [200] + [409] * 19


def test_sign_up_can_be_closed(serve):
    server = serve(XWE_SIGNUP="closed")
    who = {"username": "ada", "password": PASSWORD}
    reply = requests.post(f"{server.url}/auth/register", json=who, timeout=20)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "signup_closed")


def test_nobody_is_told_so_wherever_somebody_must_be_signed_in(server):
    """In both modes of access: here the model itself is open to all."""
    mine = [route for route in ROUTES if route.rule.startswith(("/api/me/", "/auth/me"))]
    assert mine
    for route in mine:
        reply = requests.request(route.method, server.url + route.path("1"), json={}, timeout=20)
        assert (route, reply.status_code) == (route, 401)
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


def test_who_opens_a_page_of_their_own_signs_in_and_goes_on(server, join):
    page = {"Accept": "text/html,*/*"}
    refused = requests.get(
        f"{server.url}/account?x=1", headers=page, timeout=20, allow_redirects=False
    )
    assert refused.status_code == 303
    assert refused.headers["Location"] == "/login?next=%2Faccount%3Fx%3D1"
    person = join("pages")
    gone_on = person.ask("GET", refused.headers["Location"], allow_redirects=False)
    assert gone_on.headers["Location"] == "/account?x=1"


@pytest.mark.parametrize(
    "wanted", ["https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)", "/\t/e.t"]
)
def test_a_link_to_the_login_does_not_lead_away(join, wanted):
    person = join(f"away{abs(hash(wanted))}"[:20])
    reply = person.ask("GET", "/login", params={"next": wanted}, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (302, "/")


def test_a_login_server_lets_users_and_their_programs_in(serve, mock_server):
    server = serve(XWE_ACCESS="login", XWE_API_TOKEN="t0ken-abc")
    person = Person(server.url, None, "ada")
    said = {"message": "hi"}
    assert person.ask("POST", "/api/llm/chat", json=said).ok
    secret = person.ask("POST", "/api/me/tokens", json={"name": "script"}).json()["token"]
    bearer = {"Authorization": f"Bearer {secret}"}

    def program(headers, path="/api/llm/chat"):
        return requests.post(server.url + path, json=said, headers=headers, timeout=20).status_code

    assert program(bearer) == 200
    assert program({"Authorization": "Bearer t0ken-abc"}) == 200
    assert program({}) == 401
    assert program(bearer | {"Origin": "https://dashboard.test"}) == 200
    cookie = {"Cookie": f"xwe_session={cookie_of(person)}"}
    assert program(cookie) == 403  # only a browser has it, and browsers say where they are
    token_id = person.ask("GET", "/api/me/tokens").json()["items"][0]["id"]
    person.ask("DELETE", f"/api/me/tokens/{token_id}")
    person.close()
    assert program(bearer) == 401


def test_the_servers_token_beside_a_cookie_leaves_its_reader_signed_in(serve):
    server = serve(XWE_ACCESS="login", XWE_API_TOKEN="t0ken-abc")
    person = Person(server.url, None, "ada")
    reply = person.ask("GET", "/auth/me", headers={"Authorization": "Bearer t0ken-abc"})
    person.close()
    assert reply.json()["username"] == "ada"


def test_too_many_tokens_are_no_matter_of_waiting(server, join):
    person = join("collector")
    statuses = []
    while 409 not in statuses:
        assert len(statuses) <= MAX_TOKENS
        reply = person.ask("POST", "/api/me/tokens", json={"name": "script"})
        statuses.append(reply.status_code)
    assert statuses == [200] * MAX_TOKENS + [409]
    refused = reply.json()["error"]
    assert (refused["code"], refused["retryable"]) == ("token_limit", False)
    assert "Retry-After" not in reply.headers


def test_an_answer_that_was_begun_by_a_user_is_not_nobodys(server, join, mock_server):
    """The model is open to all here; what it said to a user is not."""
    things = join("streamer").stream_id()
    with rejoining(server.url, things["stream_id"]) as reader:
        assert reader.response.status == 404
