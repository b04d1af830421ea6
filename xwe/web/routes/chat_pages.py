"""The pages of the chats that last: all of them, and the one with a character."""

from dataclasses import dataclass
from http import HTTPStatus

from flask import Blueprint, Response

from xwe.errors import NotFoundError
from xwe.services.characters.categories import LANGUAGES, PROFILE_CATEGORIES
from xwe.web.application import current_application, login_required
from xwe.web.identity import require_user
from xwe.web.pages.rendering import render_page

blueprint = Blueprint("chat_pages", __name__)

# As many colours as avatar.css has; avatar.js reckons the same.
_HUES = 8
# The category that says who somebody is, in each language.
_IDENTITY = "|".join(PROFILE_CATEGORIES[language][0].name for language in LANGUAGES)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who answers in a chat, and how they look: a letter on one of some colours."""

    name: str

    @property
    def letter(self) -> str:
        """What stands for a picture."""
        return self.name[:1].upper()

    @property
    def hue(self) -> int:
        """The number of the letter's colour."""
        return sum(map(ord, self.name)) % _HUES


@blueprint.get("/chat/<role>")
@login_required
def character_chat(role: str) -> Response:
    """The chat with a character; its messages are read by the page."""
    try:
        character = (
            current_application().services.characters.sheet(require_user().id, role).character
        )
    except NotFoundError:
        return render_page("error.html", HTTPStatus.NOT_FOUND, code=int(HTTPStatus.NOT_FOUND))
    return _page("character_chat.html", Speaker(character.name), character.id)


def chats() -> Response:
    """The start page of who is signed in: their chats."""
    return _page("chats.html")


def _page(
    template: str, speaker: Speaker | None = None, character_id: int | None = None
) -> Response:
    provider = current_application().settings.provider
    response = render_page(
        template,
        model=provider.model,
        is_demo=provider.is_demo,
        speaker=speaker,
        character_id=character_id,
        identity=_IDENTITY,
    )
    # What is the reader's own is not for a cache that others, or the next reader, are shown from.
    response.headers["Cache-Control"] = "private, no-cache"
    return response
