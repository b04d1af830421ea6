"""Who is calling: known by a browser's session cookie or by a program's token.

The database is queried at most once per request, and only when the answer is needed. The query
blocks, so a view that is a coroutine is marked with `login_required`, which queries beforehand.
"""

from dataclasses import dataclass, field

from flask import Response, g, request

from xwe.core.nlp.observation import user_id
from xwe.errors import UnauthorizedError
from xwe.services.accounts import SESSION_LASTS, Account, Accounts, Identity, SignedIn
from xwe.streams.answers import NOBODY
from xwe.web.access import bearer_token
from xwe.web.application import current_application, login_required

__all__ = [
    "COOKIE",
    "RequestCredentials",
    "body_limit",
    "current_identity",
    "current_user",
    "login_required",
    "require_user",
    "sign_in",
    "sign_out",
    "stream_owner",
]

COOKIE = "xwe_session"

_UNASKED = object()


@dataclass(frozen=True, slots=True)
class RequestCredentials:
    """The credentials in a request, for checking them again after it has ended.

    Attributes:
        token: a program's.
        session: a browser's.
    """

    token: str | None = field(repr=False)
    session: str | None = field(repr=False)

    @classmethod
    def shown(cls) -> "RequestCredentials":
        """Those of the current request."""
        return cls(bearer_token(request.environ), request.cookies.get(COOKIE))

    def identity(self, accounts: Accounts) -> Identity | None:
        """Whom they identify now; None if they are invalid, expired or revoked.

        Raises:
            DatabaseUnavailableError: the database could not be queried.
        """
        identity = accounts.by_token(self.token) if self.token else None
        # A page sends the server's own token beside its reader's cookie. It identifies no user.
        return identity or (accounts.by_session(self.session) if self.session else None)


def current_user() -> Account | None:
    """The signed-in user; None without one.

    Raises:
        DatabaseUnavailableError: the database could not be queried.
    """
    identity = current_identity()
    return None if identity is None else identity.account


def require_user() -> Account:
    """The signed-in user.

    Raises:
        UnauthorizedError: nobody is signed in.
        DatabaseUnavailableError: the database could not be queried.
    """
    account = current_user()
    if account is None:
        raise UnauthorizedError
    return account


def stream_owner() -> str:
    """The owner of the caller's answers and notifications: the user's id, or "-" without a user."""
    account = current_user()
    return NOBODY if account is None else str(account.id)


def body_limit() -> int:
    """The largest body in bytes; smaller for a user who calls the model."""
    app = current_application()
    largest = app.settings.server.max_body_bytes
    if request.endpoint not in app.model_endpoints or current_user() is None:
        return largest
    return min(largest, app.services.limits.of_user.prompt_bytes)


def current_identity() -> Identity | None:
    """The signed-in user, with the session or token that says so; None without one."""
    identity = g.get("identity", _UNASKED)
    if identity is _UNASKED:
        accounts = current_application().services.accounts
        identity = g.identity = RequestCredentials.shown().identity(accounts)
        if identity is not None:
            user_id.set(str(identity.account.id))  # for the log lines
    return identity  # type: ignore[no-any-return] # g holds anything


def sign_in(response: Response, signed_in: SignedIn) -> None:
    """Set the session cookie."""
    response.set_cookie(
        COOKIE,
        signed_in.secret,
        max_age=int(SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=_is_over_tls(),
    )


def sign_out(response: Response) -> None:
    """Delete the session cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax", secure=_is_over_tls())


def _is_over_tls() -> bool:
    # A proxy that terminates TLS says so. A client that lies about it locks out only itself.
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").startswith("https")
