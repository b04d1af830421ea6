"""The pages."""

from flask import Blueprint, Response

from xwe.web.application import current_application
from xwe.web.rendering import render_page

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def first_page() -> Response:
    """Ask the model, watch the answer come."""
    provider = current_application().settings.provider
    return render_page("chat.html", model=provider.model, is_demo=provider.is_demo)
