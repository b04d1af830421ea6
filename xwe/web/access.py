"""Who may call: whoever is signed in where the server asks for it, never a foreign page.

Two questions are asked of a request. Is it a page of another site that makes the browser call
(then its reader has not asked for it)? And where a login is required, does a user call, or a
program with the server's token? The first is answered from the WSGI environ alone, without Flask;
who the user is, is asked only where it matters.
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
class Refusal:
    """Why a request may not pass, in the shape of the error table."""

    status: HTTPStatus
    code: str
    message: str


FOREIGN_ORIGIN = Refusal(
    HTTPStatus.FORBIDDEN,
    "foreign_origin",
    "The request comes from a page of another site, or has a cookie and does not say where it "
    "comes from. Call from a page of this server, or from a program with `Authorization: Bearer "
    "<token>` (XWE_API_TOKEN, or one made under your account).",
)
FOREIGN_HOST = Refusal(
    HTTPStatus.FORBIDDEN,
    "foreign_host",
    "With XWE_ACCESS=open and a real provider the model answers on localhost only. Set "
    "XWE_ACCESS=login and XWE_API_TOKEN to call it under another name.",
)
LOGIN_NEEDED = Refusal(
    HTTPStatus.UNAUTHORIZED,
    "unauthorized",
    "Sign in first; a program sends `Authorization: Bearer` with a token of its user's, or with "
    "XWE_API_TOKEN.",
)


def _nobody() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The rules that the settings make.

    Attributes:
        login_required: whether the model routes need a login or a token.
        api_token: the server's own token for programs; None when there is none.
        local_hosts_only: whether the model routes answer to loopback names alone. A page of
            another site can point its own name at this machine; it then is of the same origin,
            but it cannot call itself localhost.
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
        is_signed_in: Callable[[], bool] = _nobody,
    ) -> Refusal | None:
        """Why the request may not pass, or None when it may.

        To be asked for unsafe methods and for whatever calls the model.

        Args:
            environ: the request.
            calls_model: whether it spends the model's time.
            is_signed_in: whether a user calls: by the token where one is shown, else by a cookie.
        """
        token = bearer_token(environ)
        # No page of another site can make a browser send a token.
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
    """What the request shows in `Authorization: Bearer`."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_same_origin(environ: WSGIEnvironment) -> bool:
    """Whether one of our own pages, the address bar or a program without a cookie calls.

    A browser always says so itself in Sec-Fetch-Site, on https and localhost. Elsewhere Origin
    says it, or for a GET the Referer. Nothing at all is a program's call, unless it carries a
    cookie, which only a browser has been given.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site in {"same-origin", "none"}
    claimed = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
    if claimed:
        return _is_own(claimed, environ)
    return "HTTP_COOKIE" not in environ


def _is_own(url: str, environ: WSGIEnvironment) -> bool:
    """Whether `url` is of the host that the request is for.

    Schemes are not compared: behind a proxy that ends TLS, ours is http and the page's https.
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
