"""For each route whose address names a thing: how its owner comes to have such a thing.

A new route gets a row here, or the test of all routes fails.
"""

import requests

from xwe.services.accounts import Account
from xwe.storage.database import Database
from xwe.storage.repositories import characters, conversations, jobs, messages

PASSWORD = "a good password"
NEVER_AN_ID = 2**40
NEVER_A_NAME = "there-is-none"

# Addresses that name nothing of anybody's.
PUBLIC = {"static"}


class Person:
    """Somebody with an account, or nobody, at a server."""

    def __init__(self, url: str, database: Database, username: str | None = None) -> None:
        self.url = url
        self.database = database
        self.session = requests.Session()
        self.session.headers["Connection"] = "close"  # a test keeps none that another begins
        self.account: Account | None = None
        self._characters = 0
        if username is not None:
            who = {"username": username, "password": PASSWORD}
            user = self.ask("POST", "/auth/register", json=who).json()["user"]
            self.account = Account(**user)

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        """A request as one of the server's own pages makes it."""
        headers = {"Origin": self.url} | options.pop("headers", {})
        return self.session.request(method, self.url + path, headers=headers, timeout=60, **options)

    def close(self) -> None:
        self.session.close()

    # --- things to have ---

    def session_id(self) -> dict[str, object]:
        """Another session, so that the person stays signed in when it ends."""
        who = {"username": self.account.username, "password": PASSWORD}
        address = f"{self.url}/auth/login"
        assert requests.post(address, json=who, timeout=60).ok
        items = self.ask("GET", "/api/me/sessions").json()["items"]
        return {"session_id": next(item["id"] for item in items if not item["is_this_one"])}

    def token_id(self) -> dict[str, object]:
        made = self.ask("POST", "/api/me/tokens", json={"name": "script"}).json()
        return {"token_id": made["id"]}

    def stream_id(self) -> dict[str, object]:
        reply = self.ask("POST", "/api/llm/stream", json={"message": "hi"})
        assert reply.text.endswith("data: [DONE]\n\n")
        return {"stream_id": reply.headers["X-Generation-Id"]}

    def role(self) -> dict[str, object]:
        """A character with a chat: a question, and its answer as the last message."""
        self._characters += 1
        name = f"{self.account.username}的李白{self._characters}"
        with self.database.write() as writing:
            made = characters.create(writing, user_id=self.account.id, name=name)
            chat = conversations.for_character(writing, self.account.id, made.id)
            messages.append(writing, chat.id, sender_type="user", content="hi")
        return {"role": name}

    def role_and_category(self) -> dict[str, object]:
        return {**self.role(), "name": "背景故事"}

    def deleted_role(self) -> dict[str, object]:
        named = self.role()
        with self.database.write() as writing:
            made = characters.get(writing, self.account.id, named["role"])
            characters.remove(writing, self.account.id, made.id)
        return named

    def task_id(self) -> dict[str, object]:
        """A job that has ended, and could be tried again."""
        with self.database.write() as writing:
            made = jobs.create(
                writing, kind="nobody-runs-this", payload={}, user_id=self.account.id
            )
            jobs.request_cancel(writing, self.account.id, made.id)
        return {"task_id": made.id}

    def role_and_message_id(self) -> dict[str, object]:
        named = self.role()
        with self.database.write() as writing:
            made = characters.get(writing, self.account.id, named["role"])
            chat = conversations.for_character(writing, self.account.id, made.id)
            answer = messages.append(
                writing, chat.id, sender_type="character", sender_id=made.id, content="hello"
            )
        return {**named, "message_id": answer.id}


THINGS = {
    "generations.rejoin": Person.stream_id,
    "generations.stop": Person.stream_id,
    "accounts.end_session": Person.session_id,
    "accounts.delete_token": Person.token_id,
    "characters.sheet": Person.role,
    "characters.save_sheet": Person.role,
    "characters.retry_category": Person.role_and_category,
    "characters.complete": Person.role,
    "characters.memories": Person.role,
    "characters.save_memories": Person.role,
    "characters.rename": Person.role,
    "characters.copy": Person.role,
    "characters.remove": Person.role,
    "characters.restore": Person.deleted_role,
    "characters.sheet_page": Person.role,
    "chat_pages.character_chat": Person.role,
    "chats.messages": Person.role,
    "chats.reply": Person.role,
    "chats.stream": Person.role,
    "chats.plain_stream": Person.role,
    "chats.regenerate": Person.role_and_message_id,
    "chats.select": Person.role_and_message_id,
    "tasks.get": Person.task_id,
    "tasks.events": Person.task_id,
    "tasks.cancel": Person.task_id,
    "tasks.retry": Person.task_id,
}
