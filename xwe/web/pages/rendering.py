"""Rendering a page in the reader's language."""

from urllib.parse import urlencode

from flask import Response, render_template, request

from xwe.web.application import current_application
from xwe.web.pages.languages import COOKIE, COOKIE_AGE_S


def render_page(template: str, status: int = 200, **values: object) -> Response:
    """The page of a template, which gets `t`, the texts, and `language`, the language code.

    A language chosen in the address is stored in a cookie; `in_language` builds such addresses.
    """
    languages = current_application().languages
    language = languages.choose(request)
    html = render_template(
        template,
        t=languages.catalogues[language],
        language=language,
        languages=languages.catalogues,
        in_language=_in_language,
        heartbeat_s=current_application().writing_times.heartbeat_s,
        **values,
    )
    response = Response(html, status, content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept-Language, Cookie"
    if request.args.get("lang") == language:
        response.set_cookie(COOKIE, language, max_age=COOKIE_AGE_S, samesite="Lax", httponly=True)
    return response


def _in_language(code: str) -> str:
    """The address of the same page, query included, in the language `code`."""
    return "?" + urlencode({**request.args.to_dict(flat=False), "lang": code}, doseq=True)
