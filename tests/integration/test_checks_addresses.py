"""An address with a NUL in it names nothing, whatever the database: 404, and never a traceback.

The routes come from the URL map.
"""

import contextlib

import pytest
from owned_things import Person
from postgresql import SQLITE_AND_POSTGRESQL, new_database
from url_map import ROUTES

from xwe.storage.database import Database
from xwe.storage.migrating import upgrade

NAMED = [route for route in ROUTES if "<" in route.rule.replace("<int:", "")]


@pytest.fixture(scope="module", params=SQLITE_AND_POSTGRESQL)
def person(request, serve, tmp_path_factory):
    """Somebody who is signed in; the test fails if the server writes a traceback meanwhile."""
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('addresses')}/xwe.db"
        else:
            # Of its own: in the session's one there may be work that other tests have left.
            url = stack.enter_context(new_database())
            upgrade(url)
        server, database = serve(XWE_DATABASE_URL=url), Database(url)
        person = Person(server.url, database, "addressee")
        database.ping()  # its connection is the module's, not a test's
        yield person
        person.close()
        database.close()
        server.stop()
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log


@pytest.mark.parametrize("nul", ["%00", "a%00", "%00b"])
@pytest.mark.parametrize("route", NAMED, ids=str)
def test_a_name_with_a_nul_is_nobodys(person, route, nul):
    reply = person.ask(route.method, route.path(nul).replace("<int:", ""), json={"content": "hi"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("number", [2**31, 2**53, 2**63, 10**30])
def test_no_number_is_too_large_to_be_asked_for(person, number):
    role = person.role()["role"]
    for path in (
        f"/api/chat/{role}/messages?before_seq={number}",
        f"/api/chat/{role}/messages?after_seq={number}",
        f"/api/tasks?before_id={number}",
        f"/api/tasks/{number}",
    ):
        assert person.ask("GET", path).status_code in {200, 400, 404}
    path = f"/api/chat/{role}/messages/{number}/select"
    assert person.ask("POST", path).status_code == 404
    assert person.ask("DELETE", f"/api/me/sessions/{number}").status_code in {400, 404}
