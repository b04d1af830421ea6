"""The pages that need no account."""

from flask import Blueprint, Response

from xwe.web.application import current_application
from xwe.web.identity import current_user
from xwe.web.pages.rendering import render_page
from xwe.web.routes import chat_pages

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def chat() -> Response:
    """A chat with the model; for a signed-in user, the list of their chats."""
    if current_user() is not None:
        return chat_pages.chats()
    return _page("chat.html")


@blueprint.get("/stream")
def plain_stream() -> Response:
    """The minimum a page needs to show a streamed answer: plain text, shown as it arrives."""
    return _page("stream.html")


@blueprint.get("/playground")
def playground() -> Response:
    """Several users, one after another and all at once, measured side by side."""
    return _page("playground.html")


@blueprint.get("/tools")
def tools() -> Response:
    """A question with tools in each mode as a timeline, measured and computed."""
    return _page("tools.html")


@blueprint.get("/system")
def system() -> Response:
    """The state of the server now and over the last minutes."""
    return _page("system.html")


def _page(template: str) -> Response:
    provider = current_application().settings.provider
    return render_page(template, model=provider.model, is_demo=provider.is_demo)
