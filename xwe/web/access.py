"""The access rules: no page of another site, and only signed-in users where a login is required.

Two checks are made of a request. Does a page of another site make the browser send it, without
its reader's knowledge? And where a login is required, is the caller a user, or a program with the
server's token? The first check needs only the WSGI environ. The user is looked up only when the
answer depends on it.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from xwe.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """Why a request is refused: its status, error code and message."""

    status: HTTPStatus
    code: str
    message: str


FOREIGN_ORIGIN = AccessRefusal(
    HTTPStatus.FORBIDDEN,
    "foreign_origin",
    "The request comes from a page of another site, or has a cookie and does not say where it "
    "comes from. Call from a page of this server, or from a program with `Authorization: Bearer "
    "<token>` (XWE_API_TOKEN, or one made under your account).",
)
FOREIGN_HOST = AccessRefusal(
    HTTPStatus.FORBIDDEN,
    "foreign_host",
    "With XWE_ACCESS=open and a real provider the model answers on localhost only. Set "
    "XWE_ACCESS=login and XWE_API_TOKEN to call it under another name.",
)
LOGIN_NEEDED = AccessRefusal(
    HTTPStatus.UNAUTHORIZED,
    "unauthorized",
    "Sign in first; a program sends `Authorization: Bearer` with a token of its user's, or with "
    "XWE_API_TOKEN.",
)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The rules that follow from the settings.

    Attributes:
        login_required: whether the model routes need a login or a token.
        api_token: the server's own token for programs; None without one.
        local_hosts_only: whether the model routes accept only loopback host names. Another site
            can point its own name at this machine, and its pages are then of the same origin. It
            cannot call itself localhost.
    """

    login_required: bool
    api_token: bytes | None = None
    local_hosts_only: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "AccessRules":
        """The rules for `settings.access` and the kind of provider."""
        token, login = settings.access.api_token, settings.access.mode == "login"
        return cls(
            login_required=login,
            api_token=token.encode() if token else None,
            local_hosts_only=not login and not settings.provider.is_demo,
        )

    def refusal(
        self,
        environ: WSGIEnvironment,
        *,
        calls_model: bool,
        is_signed_in: Callable[[], bool] = _never,
    ) -> AccessRefusal | None:
        """Why the request is refused, or None when it may pass.

        Call this for unsafe methods and for views that call the model.

        Args:
            environ: the request.
            calls_model: whether its view calls the model.
            is_signed_in: whether the caller is a user, known by a token or else by a cookie.
        """
        token = bearer_token(environ)
        # Another site's page cannot make a browser send a token.
        if token is not None and (self._is_api_token(token) or is_signed_in()):
            return None
        if not is_same_origin(environ):
            return FOREIGN_ORIGIN
        if not calls_model:
            return None
        if self.login_required:
            return None if is_signed_in() else LOGIN_NEEDED
        if self.local_hosts_only and _host_name(environ) not in _LOOPBACK_HOSTS:
            return FOREIGN_HOST
        return None

    def _is_api_token(self, token: str) -> bool:
        sent = token.encode("latin-1", "replace")
        return self.api_token is not None and hmac.compare_digest(sent, self.api_token)


def bearer_token(environ: WSGIEnvironment) -> str | None:
    """The token in `Authorization: Bearer`; None without one."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_same_origin(environ: WSGIEnvironment) -> bool:
    """Whether the request comes from our own pages, the address bar or a program without a cookie.

    On https and localhost, browsers say so in Sec-Fetch-Site. Elsewhere Origin says it, or Referer
    for a GET. A request with none of them comes from a program, unless it has a cookie: only
    browsers are given cookies.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site in {"same-origin", "none"}
    claimed = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
    if claimed:
        return _is_own(claimed, environ)
    return "HTTP_COOKIE" not in environ


def _is_own(url: str, environ: WSGIEnvironment) -> bool:
    """Whether `url` has the host that the request was sent to.

    Schemes are not compared: behind a proxy that terminates TLS, ours is http and the page's https.
    """
    scheme = url.partition(":")[0]
    default = _DEFAULT_PORTS.get(scheme)
    try:
        page, here = urlsplit(url), urlsplit(f"{scheme}://{environ.get('HTTP_HOST', '')}")
        theirs, ours = page.port or default, here.port or default
    except ValueError:
        return False
    return page.hostname is not None and (page.hostname, theirs) == (here.hostname, ours)


def _host_name(environ: WSGIEnvironment) -> str | None:
    try:
        return urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
    except ValueError:
        return None
