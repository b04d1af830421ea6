"""What belongs to somebody is there for nobody else, and nobody can tell that it exists.

The routes come from the URL map, how to own such a thing from `owned_things`.
"""

import re

import pytest
from owned_things import NEVER_A_NAME, NEVER_AN_ID, PUBLIC, THINGS, Person
from url_map import ROUTES

from xwe.storage.database import Database

ID_ROUTES = [route for route in ROUTES if "<" in route.rule]
OWNED = [route for route in ID_ROUTES if route.endpoint in THINGS]

# So that nothing else than the owner is in the way.
GOOD = {"content": "hi", "message": "hi", "name": "n", "new_name": "n", "version": 1}


@pytest.fixture(scope="module")
def everybody(serve, tmp_path_factory):
    """Owner, another and nobody, at a server where a login is needed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('owners')}/xwe.db"
    server = serve(XWE_ACCESS="login", XWE_DATABASE_URL=url)
    database = Database(url)
    people = [Person(server.url, database, name) for name in ("owner", "other", None)]
    yield people
    for person in people:
        person.close()
    database.close()


def path_of(route, things):
    """The route's rule with these things in it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(things[found[1]]), route.rule)


def missing(things):
    """As many things of the same kinds, none of which exists."""
    return {
        name: NEVER_AN_ID if isinstance(value, int) else NEVER_A_NAME
        for name, value in things.items()
    }


def shown(reply):
    """What a reply tells; each has its own request id."""
    headers = {k: v for k, v in reply.headers.items() if k not in {"X-Request-ID", "Date"}}
    return reply.status_code, headers, reply.content


def test_every_route_that_names_a_thing_is_tried():
    unknown = {route.endpoint for route in ID_ROUTES} - THINGS.keys() - PUBLIC
    assert unknown == set(), "say in owned_things.py how somebody comes to own such a thing"


@pytest.mark.parametrize("route", OWNED, ids=str)
def test_a_thing_is_there_for_its_owner_alone(everybody, route):
    owner, other, nobody = everybody
    things = THINGS[route.endpoint](owner)
    path, options = path_of(route, things), {}
    if not route.is_safe:
        options = {"json": GOOD}
    elif route.spends:
        path += "?content=hi"

    nowhere = path_of(route, missing(things)) + path[len(path_of(route, things)) :]
    seen, not_there = (
        other.ask(route.method, path, **options),
        other.ask(route.method, nowhere, **options),
    )
    assert seen.status_code == 404
    assert shown(seen) == shown(not_there)
    refused = nobody.ask(route.method, path, **options)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")

    reply = owner.ask(route.method, path, **options)
    assert reply.status_code < 500
    assert reply.status_code not in {401, 403, 404}


def test_a_list_shows_ones_own_only(everybody):
    owner, other, _ = everybody
    owner.token_id()
    owner.session_id()
    assert other.ask("GET", "/api/me/tokens").json() == {"items": []}
    assert len(other.ask("GET", "/api/me/sessions").json()["items"]) == 1
    owner.ask("PUT", "/api/me/settings", json={"theme": "dark"})
    assert other.ask("GET", "/api/me/settings").json() == {"settings": {}}
