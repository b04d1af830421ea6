"""Accounts: signing up, in and out; a user's settings, sessions and tokens; and their pages."""

import logging
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from xwe.core.nlp.observation import request_id
from xwe.errors import DatabaseUnavailableError
from xwe.services.accounts import Account, Accounts, SignedIn
from xwe.storage.records import Session, Token
from xwe.web.application import current_application, login_required
from xwe.web.bodies import accounts as bodies
from xwe.web.bodies.json_bytes import json_response
from xwe.web.identity import (
    COOKIE,
    current_identity,
    current_user,
    require_user,
    sign_in,
    sign_out,
)
from xwe.web.pages.rendering import render_page
from xwe.web.routes.llm import takes

log = logging.getLogger(__name__)

blueprint = Blueprint("accounts", __name__)

# A token is shown only once, and neither it nor the signed-in user belongs in a cache.
_NO_STORE = {"Cache-Control": "no-store"}


@blueprint.post("/auth/register")
@takes(bodies.credentials)
def register(asked: bodies.Credentials) -> Response:
    """Create an account and sign in."""
    if _accounts().signup_is_open:
        current_application().services.limits.take_registration(_address())
    signed_in = _accounts().register(asked.username, asked.password, user_agent=_user_agent())
    return _signed_in(signed_in)


@blueprint.post("/auth/login")
@takes(bodies.credentials)
def log_in(asked: bodies.Credentials) -> Response:
    """Sign in."""
    signed_in = _accounts().log_in(
        asked.username, asked.password, address=_address(), user_agent=_user_agent()
    )
    return _signed_in(signed_in)


@blueprint.post("/auth/logout")
def log_out() -> Response:
    """Sign out of this browser; harmless for callers who are not signed in."""
    # The session of the cookie, even if a token beside it belongs to another user.
    if secret := request.cookies.get(COOKIE):
        _accounts().log_out(secret)
    response = _reply({"ok": True})
    sign_out(response)
    return response


@blueprint.get("/auth/me")
@login_required
def me() -> Response:
    """The signed-in user."""
    return _reply(_user(require_user()))


@blueprint.post("/auth/password")
@login_required
@takes(bodies.password_change)
def change_password(asked: bodies.PasswordChange) -> Response:
    """Change the password: every session ends, and this browser gets a new one."""
    signed_in = _accounts().change_password(
        require_user().id, asked.old, asked.new, user_agent=_user_agent()
    )
    return _signed_in(signed_in)


@blueprint.get("/api/me/settings")
@login_required
def settings() -> Response:
    """The user's settings."""
    return _reply({"settings": _accounts().settings(require_user().id)})


@blueprint.put("/api/me/settings")
@login_required
@takes(dict)
def set_settings(values: Mapping[str, Any]) -> Response:
    """Replace the user's settings."""
    stored = _accounts().set_settings(require_user().id, dict(values))
    return _reply({"ok": True, "settings": stored})


@blueprint.get("/api/me/sessions")
@login_required
def sessions() -> Response:
    """The browsers where the user is signed in."""
    identity = current_identity()
    own = identity.session_id if identity else None
    found = _accounts().sessions(require_user().id)
    return _reply({"items": [_session(session, own) for session in found]})


@blueprint.delete("/api/me/sessions")
@login_required
def end_sessions() -> Response:
    """Sign out everywhere, including here."""
    _accounts().log_out_everywhere(require_user().id)
    response = _reply({"ok": True})
    sign_out(response)
    return response


@blueprint.delete("/api/me/sessions/<int:session_id>")
@login_required
def end_session(session_id: int) -> Response:
    """Sign out one browser."""
    _accounts().end_session(require_user().id, bodies.row_id(session_id))
    return _reply({"ok": True})


@blueprint.get("/api/me/tokens")
@login_required
def tokens() -> Response:
    """The user's tokens, without their secrets."""
    found = _accounts().tokens(require_user().id)
    return _reply({"items": [_token(token) for token in found]})


@blueprint.post("/api/me/tokens")
@login_required
@takes(bodies.token_name)
def add_token(name: str) -> Response:
    """Create a token; `token` is shown only in this reply."""
    token, secret = _accounts().add_token(require_user().id, name)
    return _reply({"ok": True, **_token(token), "token": secret})


@blueprint.delete("/api/me/tokens/<int:token_id>")
@login_required
def delete_token(token_id: int) -> Response:
    """Revoke a token."""
    _accounts().delete_token(require_user().id, bodies.row_id(token_id))
    return _reply({"ok": True})


@blueprint.get("/login")
def sign_in_page() -> AnyResponse:
    """Sign in or sign up; signed-in users go on to the page they asked for."""
    wanted = _own_path(request.args.get("next", ""))
    if current_user() is not None:
        return redirect(wanted)
    return render_page("login.html", wanted=wanted, signup_is_open=_accounts().signup_is_open)


@blueprint.get("/account")
@login_required
def account_page() -> Response:
    """Password, sessions, tokens, language and theme."""
    return render_page("account.html")


@blueprint.app_context_processor
def _page_values() -> dict[str, object]:
    """The signed-in user, for the rail."""
    # An error page must not fail because of it.
    try:
        return {"user": current_user()}
    except DatabaseUnavailableError:
        return {"user": None}
    except Exception:
        log.exception("Request %s: the signed-in user could not be read", request_id.get())
        return {"user": None}


def _accounts() -> Accounts:
    return current_application().services.accounts


def _address() -> str | None:
    return current_application().proxies.client_address(request.environ)


def _user_agent() -> str:
    return request.headers.get("User-Agent", "")


def _own_path(wanted: str) -> str:
    """`wanted` if it is a path on this server, so that a link cannot lead to another site."""
    is_own = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_own and wanted.isprintable() else url_for("pages.chat")


def _reply(payload: Mapping[str, Any]) -> Response:
    return json_response(payload, headers=_NO_STORE)


def _signed_in(signed_in: SignedIn) -> Response:
    response = _reply({"ok": True, "user": _user(signed_in.account)})
    sign_in(response, signed_in)
    return response


def _user(account: Account) -> dict[str, Any]:
    return {"id": account.id, "username": account.username, "is_admin": account.is_admin}


def _session(session: Session, own: int | None) -> dict[str, Any]:
    return {
        "id": session.id,
        "user_agent": session.user_agent,
        "created_at": session.created_at,
        "last_seen": session.last_seen,
        "is_this_one": session.id == own,
    }


def _token(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "created_at": token.created_at,
        "last_used_at": token.last_used_at,
    }
