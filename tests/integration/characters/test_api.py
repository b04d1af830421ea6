"""Characters over HTTP: made in the background, read, edited by version, and brought back."""

import json
from urllib.parse import quote

import pytest
from owned_things import Person

from xwe.services.characters.categories import MAX_FIELD_CHARS, MAX_ITEMS, PROFILE_CATEGORIES
from xwe.services.characters.sources import MAX_SOURCE_CHARS
from xwe.storage.database import Database
from xwe.storage.repositories import conversations, messages

NAMES = [category.name for category in PROFILE_CATEGORIES["zh"]]
TEXT = "孙悟空从石头里出生，会七十二般变化。"
STORY = {"出身": "", "经历": [], "当前处境": "", "关系网络": [], "秘密": ""}


@pytest.fixture(scope="module")
def site(serve, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('characters')}/xwe.db"
    limits = {
        "XWE_USER_JOBS": "1000",
        "XWE_USER_RPM": "10000",
        "XWE_REGISTRATIONS_PER_HOUR": "0",
        "XWE_DATABASE_TIMEOUT_S": "60",  # a busy machine may keep whoever writes for seconds
    }
    server = serve(XWE_DATABASE_URL=url, **limits)
    database = Database(url, timeout_s=60)
    yield server.url, database
    database.close()


@pytest.fixture
def ada(site, request):
    person = Person(*site, f"ada-{abs(hash(request.node.name)) % 10**9}")
    yield person
    person.close()


def path(role, rest=""):
    return f"/api/characters/{quote(role, safe='')}{rest}"


def make(person, role="孙悟空", **fields):
    """Have a character made, and wait for its end; the last state."""
    asked = {"role": role, "source": "text", "text": TEXT} | fields
    reply = person.ask("POST", "/api/characters", json=asked)
    assert reply.status_code == 202, reply.text
    return followed(person, reply.json()["task_id"])


def followed(person, task_id):
    events = person.ask("GET", f"/api/tasks/{task_id}/events").text
    assert events.endswith("data: [DONE]\n\n")
    return person.ask("GET", f"/api/tasks/{task_id}").json()


def sheet(person, role="孙悟空"):
    return person.ask("GET", path(role, "/structured"))


def error(reply):
    return reply.status_code, reply.json()["error"]["code"]


def test_a_character_is_made_and_read(ada):
    task = make(ada)
    assert (task["status"], task["progress"]) == ("done", 100)
    assert task["categories"] == dict.fromkeys(NAMES, "done")
    reply = sheet(ada)
    body = reply.json()
    assert [name for name in body if name in NAMES] == NAMES
    assert body["来源"]["kind"] == "text"
    assert reply.headers["ETag"] == f'"{body["version"]}"'
    assert body["基础身份信息"]["姓名"] == "孙悟空"
    assert not body["is_unfinished"]
    assert TEXT not in reply.text  # the text itself is not sent along


def test_the_list_shows_how_a_chat_ended_last(ada, site):
    make(ada)
    [item] = ada.ask("GET", "/api/characters").json()["items"]
    assert (item["role"], item["preview"], item["avatar_url"]) == ("孙悟空", "", None)
    with site[1].write() as writing:
        chat = conversations.for_character(writing, ada.account.id, item["id"])
        messages.append(writing, chat.id, sender_type="user", content="你好")
    [item] = ada.ask("GET", "/api/characters").json()["items"]
    assert item["preview"] == "你好"


def test_an_english_character_has_the_english_fields(ada):
    make(ada, "Ada", language="en", text="Ada wrote the first program.")
    body = sheet(ada, "Ada").json()
    names = [category.name for category in PROFILE_CATEGORIES["en"]]
    assert [name for name in body if name in names] == names
    assert body["Source"]["kind"] == "text"
    assert list(body["Basic identity"]) == list(PROFILE_CATEGORIES["en"][0].fields)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_sample_is_made_without_a_text(ada, language):
    samples = ada.ask("GET", "/api/characters/samples").json()["items"]
    ours = next(each for each in samples if each["language"] == language)
    asked = {"source": "sample", "language": language}
    reply = ada.ask("POST", "/api/characters", json=asked)
    assert (reply.status_code, reply.json()["role"]) == (202, ours["name"])
    assert followed(ada, reply.json()["task_id"])["status"] == "done"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"text": TEXT}, "role"),
        ({"role": " ", "text": TEXT}, "role"),
        ({"role": "x" * 65, "text": TEXT}, "role"),
        ({"role": "a/b", "text": TEXT}, "role"),
        ({"role": "..", "text": TEXT}, "role"),
        ({"role": "new", "text": TEXT}, "role"),
        ({"role": "a\u202eb", "text": TEXT}, "role"),
        ({"role": "x"}, "text"),
        ({"role": "x", "text": "  "}, "text"),
        ({"role": "x", "text": "a\0b"}, "text"),
        ({"role": "x", "text": "长" * (MAX_SOURCE_CHARS + 1)}, "text"),
        ({"role": "x", "text": 5}, "text"),
        ({"role": 5, "text": TEXT}, "role"),
        ({"role": "x", "text": TEXT, "source": "http://localhost/"}, "source"),
        ({"role": "x", "text": TEXT, "language": "fr"}, "language"),
        ({"role": "x", "text": TEXT, "model": ["m"]}, "model"),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(ada, asked, field):
    reply = ada.ask("POST", "/api/characters", json=asked)
    assert error(reply) == (400, "invalid_request")
    assert reply.json()["error"]["message"].startswith(field)
    assert ada.ask("GET", "/api/characters").json() == {"items": []}


def test_a_text_as_long_as_may_be_is_taken(ada):
    assert make(ada, text="长" * MAX_SOURCE_CHARS)["status"] == "done"


def test_a_name_is_there_once(ada):
    make(ada)
    asked = {"role": " 孙悟空 ", "text": TEXT}
    assert error(ada.ask("POST", "/api/characters", json=asked)) == (409, "name_taken")


def test_a_category_is_edited_and_a_stale_edit_is_refused(ada):
    make(ada)
    read = sheet(ada).json()
    changed = read["知识与能力"] | {"技能": "七十二变"}
    first = ada.ask(
        "PUT",
        path("孙悟空", "/structured"),
        json={"知识与能力": changed, "version": read["version"]},
    )
    assert first.json() == {"ok": True, "version": read["version"] + 1}
    mine = {"背景故事": read["背景故事"]}
    stale = ada.ask(
        "PUT",
        path("孙悟空", "/structured"),
        json=mine,
        headers={"If-Match": f'"{read["version"]}"'},
    )
    assert error(stale) == (409, "stale_version")
    after = sheet(ada).json()
    assert after["知识与能力"] == changed
    assert after["背景故事"] == read["背景故事"]


def test_a_whole_sheet_can_be_sent_back_as_it_was_read(ada):
    make(ada)
    read = sheet(ada).json()
    reply = ada.ask("PUT", path("孙悟空", "/structured"), json=read)
    assert reply.status_code == 200
    after = sheet(ada).json()
    assert {name: after[name] for name in NAMES} == {name: read[name] for name in NAMES}
    assert after["来源"] == read["来源"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"知识与能力": {"技能": "一"}}, "知识与能力"),
        ({"知识与能力": "一"}, "知识与能力"),
        ({"知识与能力": {"知识领域": 1, "技能": "", "限制": ""}}, "知识与能力.知识领域"),
        (
            {"知识与能力": {"知识领域": "x" * (MAX_FIELD_CHARS + 1), "技能": "", "限制": ""}},
            "知识与能力.知识领域",
        ),
        ({"知识与能力": {"知识领域": "", "技能": "", "限制": "", "x": ""}}, "知识与能力"),
        ({"没有这一类": {}}, "没有这一类"),
        ({"背景故事": STORY | {"经历": ["x", 1]}}, "背景故事.经历.1"),
        ({"背景故事": STORY | {"经历": [""] * (MAX_ITEMS + 1)}}, "背景故事.经历"),
        ({"背景故事": STORY | {"x" * 1000: ""}}, "背景故事.xxx"),
    ],
)
def test_a_category_keeps_its_shape(ada, change, named):
    make(ada)
    read = sheet(ada).json()
    reply = ada.ask(
        "PUT", path("孙悟空", "/structured"), json={**change, "version": read["version"]}
    )
    assert error(reply) == (400, "invalid_request")
    assert reply.json()["error"]["message"].startswith(named)
    assert sheet(ada).json() == read


def test_a_value_that_is_too_deep_to_be_printed_is_refused(ada):
    make(ada)
    deep = "[" * 1000 + "]" * 1000
    body = json.dumps({"背景故事": STORY, "version": sheet(ada).json()["version"]})
    body = body.replace("[]", deep, 1)
    assert deep in body
    reply = ada.ask("PUT", path("孙悟空", "/structured"), data=body.encode())
    assert error(reply) == (400, "invalid_request")
    assert reply.json()["error"]["message"].startswith("背景故事.经历.0")


@pytest.mark.parametrize("header", ['"x"', "*", "", '"' + "9" * 40 + '"'])
def test_a_version_that_is_none_is_refused(ada, header):
    make(ada)
    reply = ada.ask("PUT", path("孙悟空", "/structured"), json={}, headers={"If-Match": header})
    assert error(reply) == (400, "invalid_request")
    assert error(ada.ask("PUT", path("孙悟空", "/structured"), json={})) == (400, "invalid_request")


def test_one_category_is_written_again_also_one_with_a_slash_in_its_name(ada):
    make(ada)
    for name in ("背景故事", "任务/功能性信息"):
        for form in (quote(name, safe=""), quote(name)):
            reply = ada.ask("POST", path("孙悟空", f"/categories/{form}/retry"))
            assert reply.status_code == 202, reply.text
            task = followed(ada, reply.json()["task_id"])
            assert (task["status"], task["categories"][name]) == ("done", "done")
    assert error(ada.ask("POST", path("孙悟空", "/categories/x/retry"))) == (404, "not_found")


def test_memories_are_edited_by_tier(ada):
    make(ada)
    address = path("孙悟空", "/memories")
    assert ada.ask("GET", address).json() == {"short_term": [], "long_term": []}
    put = ada.ask(
        "PUT", address, json={"long_term": ["师父 | 唐僧 |", " "], "short_term": ["昨天下雨"]}
    )
    assert put.json() == {"ok": True}
    ada.ask("PUT", address, json={"short_term": []})
    assert ada.ask("GET", address).json() == {"short_term": [], "long_term": ["师父 | 唐僧 |"]}
    assert error(ada.ask("PUT", address, json={"long_term": "x"})) == (400, "invalid_request")


def test_rename_copy_delete_and_restore(ada):
    make(ada)
    ada.ask("PUT", path("孙悟空", "/memories"), json={"long_term": ["记得"]})
    read = sheet(ada).json()
    renamed = ada.ask("PUT", path("孙悟空", "/rename"), json={"new_name": "齐天大圣"})
    assert renamed.json() == {"ok": True, "role": "齐天大圣"}
    assert sheet(ada).status_code == 404
    memories = ada.ask("GET", path("齐天大圣", "/memories")).json()
    assert memories["long_term"] == ["记得"]

    assert ada.ask("POST", path("齐天大圣", "/copy")).json()["role"] == "齐天大圣 2"
    assert ada.ask("POST", path("齐天大圣", "/copy")).json()["role"] == "齐天大圣 3"
    named = ada.ask("POST", path("齐天大圣", "/copy"), json={"new_name": "行者"})
    assert named.json()["role"] == "行者"
    copied = sheet(ada, "行者").json()
    assert {name: copied[name] for name in NAMES} == {name: read[name] for name in NAMES}
    assert ada.ask("GET", path("行者", "/memories")).json()["long_term"] == []
    taken = ada.ask("PUT", path("行者", "/rename"), json={"new_name": "齐天大圣"})
    assert error(taken) == (409, "name_taken")

    assert ada.ask("DELETE", path("齐天大圣")).json() == {"ok": True}
    assert error(sheet(ada, "齐天大圣")) == (404, "not_found")
    assert ada.ask("POST", path("齐天大圣", "/restore")).json() == {"ok": True}
    memories = ada.ask("GET", path("齐天大圣", "/memories")).json()
    assert memories["long_term"] == ["记得"]
    assert error(ada.ask("POST", path("齐天大圣", "/restore"))) == (404, "not_found")


def test_what_was_deleted_comes_back_only_where_its_name_is_free(ada):
    make(ada)
    ada.ask("DELETE", path("孙悟空"))
    make(ada)
    assert error(ada.ask("POST", path("孙悟空", "/restore"))) == (409, "name_taken")


def test_a_deleted_character_is_found_in_any_spelling_of_its_name(ada):
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    make(ada, decomposed)
    assert ada.ask("DELETE", path(decomposed)).json() == {"ok": True}
    assert ada.ask("POST", path(decomposed, "/restore")).json() == {"ok": True}
    assert sheet(ada, composed).json()["role"] == composed


def test_a_sheet_is_looked_at_before_anybody_is_kept_from_writing(ada, site):
    make(ada)
    version = sheet(ada).json()["version"]
    change = {"知识与能力": {"技能": 1}, "version": version}
    with site[1].write():  # on SQLite the only one
        assert error(ada.ask("PUT", path("孙悟空", "/structured"), json=change)) == (
            400,
            "invalid_request",
        )


def test_pages_are_for_those_who_are_signed_in(ada, site):
    make(ada)
    html = {"Accept": "text/html"}
    for address in ("/characters", "/characters/new", f"/characters/{quote('孙悟空')}"):
        assert ada.ask("GET", address, headers=html).status_code == 200
        nobody = Person(*site)
        away = nobody.ask("GET", address, headers=html, allow_redirects=False)
        assert (away.status_code, away.headers["Location"].partition("?")[0]) == (303, "/login")
        nobody.close()
