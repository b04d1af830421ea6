"""The pages of stored chats: the list of them, and the chat with a character."""

from dataclasses import dataclass
from http import HTTPStatus

from flask import Blueprint, Response

from xwe.errors import NotFoundError
from xwe.services.characters.categories import LANGUAGES, PROFILE_CATEGORIES
from xwe.web.application import current_application, login_required
from xwe.web.identity import require_user
from xwe.web.pages.rendering import render_page

blueprint = Blueprint("chat_pages", __name__)

# The number of colours in avatar.css; avatar.js computes the same hue.
_HUES = 8
# The category that describes who a character is, in each language.
_IDENTITY = "|".join(PROFILE_CATEGORIES[language][0].name for language in LANGUAGES)


@dataclass(frozen=True, slots=True)
class Speaker:
    """The character in a chat, shown as a coloured letter."""

    name: str

    @property
    def letter(self) -> str:
        """The letter shown instead of a picture."""
        return self.name[:1].upper()

    @property
    def hue(self) -> int:
        """The number of its colour."""
        return sum(map(ord, self.name)) % _HUES


@blueprint.get("/chat/<role>")
@login_required
def character_chat(role: str) -> Response:
    """The chat with a character; the page fetches its messages."""
    try:
        character = (
            current_application().services.characters.sheet(require_user().id, role).character
        )
    except NotFoundError:
        return render_page("error.html", HTTPStatus.NOT_FOUND, code=int(HTTPStatus.NOT_FOUND))
    return _page("character_chat.html", Speaker(character.name), character.id)


def chats() -> Response:
    """The start page of a signed-in user: their chats."""
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
    # A user's own page must not come from a cache for another user of the browser.
    response.headers["Cache-Control"] = "private, no-cache"
    return response
