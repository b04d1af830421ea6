"""Who calls: by the session cookie that a browser sends, or by the token that a program shows.

The database is asked once a request, and only where somebody needs to know. It blocks: where a
coroutine needs to know, its view is marked with `login_required`, or asks before it goes to the
loop.
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
    "Credentials",
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
class Credentials:
    """What a request shows of who sends it, for who wants to ask again when it is long over.

    Attributes:
        token: a program's.
        session: a browser's.
    """

    token: str | None = field(repr=False)
    session: str | None = field(repr=False)

    @classmethod
    def shown(cls) -> "Credentials":
        """Those of the current request."""
        return cls(bearer_token(request.environ), request.cookies.get(COOKIE))

    def identity(self, accounts: Accounts) -> Identity | None:
        """Whose they are now; None where they are, or have become, worthless.

        Raises:
            DatabaseUnavailableError: it cannot be told now.
        """
        identity = accounts.by_token(self.token) if self.token else None
        # A page sends the server's own token beside its reader's cookie; that token names nobody.
        return identity or (accounts.by_session(self.session) if self.session else None)


def current_user() -> Account | None:
    """Who calls; None where nobody is signed in.

    Raises:
        DatabaseUnavailableError: it cannot be told now.
    """
    identity = current_identity()
    return None if identity is None else identity.account


def require_user() -> Account:
    """Who calls.

    Raises:
        UnauthorizedError: nobody is signed in.
        DatabaseUnavailableError: it cannot be told now.
    """
    account = current_user()
    if account is None:
        raise UnauthorizedError
    return account


def stream_owner() -> str:
    """Whose answers and notifications are meant: the user's id, or "-" for nobody's."""
    account = current_user()
    return NOBODY if account is None else str(account.id)


def body_limit() -> int:
    """How many bytes of a body are read: of a user who asks the model, less than of others."""
    app = current_application()
    largest = app.settings.server.max_body_bytes
    if request.endpoint not in app.model_endpoints or current_user() is None:
        return largest
    return min(largest, app.services.limits.of_user.prompt_bytes)


def current_identity() -> Identity | None:
    """Who calls, and by which session or token."""
    identity = g.get("identity", _UNASKED)
    if identity is _UNASKED:
        accounts = current_application().services.accounts
        identity = g.identity = Credentials.shown().identity(accounts)
        if identity is not None:
            user_id.set(str(identity.account.id))  # for the log lines
    return identity  # type: ignore[no-any-return] # g holds anything


def sign_in(response: Response, signed_in: SignedIn) -> None:
    """Have the browser send the session from now on."""
    response.set_cookie(
        COOKIE,
        signed_in.secret,
        max_age=int(SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=_is_over_tls(),
    )


def sign_out(response: Response) -> None:
    """Have the browser forget the session."""
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax", secure=_is_over_tls())


def _is_over_tls() -> bool:
    # A proxy that ends TLS says so; who lies about it locks out no one but their own browser.
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").startswith("https")
