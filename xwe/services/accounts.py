"""Accounts: signing in by password, and authentication by session or token.

Sessions and tokens are random secrets of 256 bits. The database holds their digests only, so that
a copy of it lets nobody sign in.
"""

import hashlib
import math
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from xwe.errors import (
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    SignupClosedError,
    TokenLimitError,
    WrongPasswordError,
)
from xwe.services.account_rules import (
    LONGEST_PASSWORD,
    can_be_name,
    check_password,
    check_settings,
    normal,
    plain,
    usable_name,
)
from xwe.services.clearing import clear_user
from xwe.services.last_used import LastUsed
from xwe.services.limits import SlidingWindow
from xwe.services.passwords import Passwords
from xwe.storage.database import Database
from xwe.storage.records import Holder, Session, Token, User
from xwe.storage.repositories import sessions, tokens, users
from xwe.storage.units import Writing

_LONGEST_TOKEN_NAME = 100
_LONGEST_USER_AGENT = 200
MAX_TOKENS = 50

# The sixth wrong password in a minute is refused without a check.
WRONG_LOGINS = 5
WRONG_LOGINS_WITHIN_S = 60.0

SESSION_LASTS = timedelta(days=30)

# So that people and scanners recognise a token that was published by accident.
TOKEN_PREFIX = "xwe_"  # noqa: S105 - not a secret, but the mark of one


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who is signed in."""

    id: int
    username: str
    is_admin: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: `secret` goes into the browser's cookie and nowhere else."""

    account: Account
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, and by which session or token."""

    account: Account
    session_id: int | None = None
    token_id: int | None = None


class Accounts:
    """The accounts of a database. Every method blocks: not for the event loop.

    Args:
        database: stores the accounts.
        signup_is_open: whether people may create accounts themselves.
        passwords: makes the hashes; closed together with this object.
        clock: seconds, monotonic, for the count of wrong logins.
    """

    def __init__(
        self,
        database: Database,
        *,
        signup_is_open: bool,
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.signup_is_open = signup_is_open
        self._database = database
        self._passwords = passwords or Passwords()
        self._wrong = SlidingWindow(WRONG_LOGINS, WRONG_LOGINS_WITHIN_S, clock=clock)
        self._uses = LastUsed(database, clock=clock)

    # --- signing in ---

    def add(self, username: str, password: str, *, is_admin: bool = False) -> Account:
        """Create an account, whether or not sign-up is open; for the operator.

        Raises:
            InvalidRequestError: the name or the password cannot be used.
            UsernameTakenError: the name is taken.
        """
        name, password_hash = usable_name(username), self._hash(password, "password")
        with self._database.write() as writing:
            made = users.create(
                writing, username=name, password_hash=password_hash, is_admin=is_admin
            )
        return _account(made)

    def register(self, username: str, password: str, *, user_agent: str = "") -> SignedIn:
        """Create an account, and sign in.

        Raises:
            SignupClosedError: only the operator creates accounts.
            InvalidRequestError: the name or the password cannot be used.
            UsernameTakenError: the name is taken.
        """
        if not self.signup_is_open:
            raise SignupClosedError
        name, password_hash = usable_name(username), self._hash(password, "password")
        secret = _new_secret()
        with self._database.write() as writing:
            made = users.create(writing, username=name, password_hash=password_hash)
            _begin_session(writing, made, secret, user_agent)
        return SignedIn(_account(made), secret)

    def log_in(
        self, username: str, password: str, *, address: str | None = None, user_agent: str = ""
    ) -> SignedIn:
        """Start a session; `address` is None if it is unknown.

        Raises:
            WrongPasswordError: the name or the password is wrong.
            LimitExceededError: too many recent failures for the name or from the address.
        """
        # Counted by what somebody who guesses would have to change: the name or the machine.
        keys = [f"name {_digest(normal(username))}"]
        if address is not None:
            keys.append(f"address {address}")
        self._refuse_guessing(keys)
        user = self._user_named(username)
        if not self._is_right(password, user, keys):
            raise WrongPasswordError
        assert user is not None  # noqa: S101 - for nobody no password is right
        self._wrong.forget(keys[0])
        secret = _new_secret()
        with self._database.write() as writing:
            sessions.purge(writing, _now() - SESSION_LASTS)
            _begin_session(writing, user, secret, user_agent)
        return SignedIn(_account(user), secret)

    def _refuse_guessing(self, keys: Iterable[str]) -> None:
        wait_s = max(self._wrong.wait_s(key) for key in keys)
        if wait_s:
            raise LimitExceededError(
                f"Too many wrong passwords; try again in {math.ceil(wait_s)} s.",
                retry_after_s=wait_s,
            )

    def _user_named(self, username: str) -> User | None:
        name = normal(username)
        if not can_be_name(name):
            return None  # and PostgreSQL cannot even ask for every text
        with self._database.read() as reading:
            return users.by_name(reading, name)

    def _is_right(self, password: str, user: User | None, keys: Collection[str]) -> bool:
        kept = None if user is None or len(password) > LONGEST_PASSWORD else user.password_hash
        return self._passwords.is_right(
            normal(password[:LONGEST_PASSWORD]),
            kept,
            # Again before the hash: of many guesses at once most are still in line by then. And
            # counted before the next one's turn: the thread that asked may wake late.
            first=lambda: self._refuse_guessing(keys),
            when_wrong=lambda: self._count_guess(keys),
        )

    def _count_guess(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._wrong.add(key)

    # --- authentication ---

    def by_session(self, secret: str) -> Identity | None:
        """The user of a session; None if it is over or never existed."""
        with self._database.read() as reading:
            found = sessions.holder(reading, _digest(secret), seen_after=_now() - SESSION_LASTS)
        if found is None:
            return None
        self._uses.note(found, sessions.touch)
        return Identity(_account_of(found), session_id=found.id)

    def by_token(self, secret: str) -> Identity | None:
        """The user of a token; None if there is no such token."""
        if not secret.startswith(TOKEN_PREFIX):
            return None
        with self._database.read() as reading:
            found = tokens.holder(reading, _digest(secret))
        if found is None:
            return None
        self._uses.note(found, tokens.touch)
        return Identity(_account_of(found), token_id=found.id)

    # --- sessions ---

    def sessions(self, user_id: int) -> list[Session]:
        """The user's sessions, most recently used first."""
        with self._database.read() as reading:
            return sessions.listed(reading, user_id, seen_after=_now() - SESSION_LASTS)

    def log_out(self, secret: str) -> None:
        """End the session of this secret; no error if there is none."""
        with self._database.write() as writing:
            sessions.remove_shown(writing, _digest(secret))

    def end_session(self, user_id: int, session_id: int) -> None:
        """Sign out one browser.

        Raises:
            NotFoundError: the user has no such session.
        """
        with self._database.write() as writing:
            sessions.remove(writing, user_id, session_id)

    def log_out_everywhere(self, user_id: int) -> None:
        """End all sessions of the user; tokens stay.

        Raises:
            NotFoundError: there is no such account.
        """
        with self._database.write() as writing:
            users.bump_session_version(writing, user_id)

    def change_password(
        self, user_id: int, old: str, new: str, *, user_agent: str = ""
    ) -> SignedIn:
        """Change the password, which ends every session, and start a new one.

        Raises:
            WrongPasswordError: `old` is not the password.
            InvalidRequestError: `new` cannot be used.
            LimitExceededError: too many recent failures.
            NotFoundError: there is no such account.
        """
        with self._database.read() as reading:
            user = users.by_id(reading, user_id)
        if user is None:
            raise NotFoundError
        check_password(new, "new")  # checked first: a bad new password is not a wrong old one
        keys = (f"change {user_id}",)
        self._refuse_guessing(keys)
        if not self._is_right(old, user, keys):
            raise WrongPasswordError("This is not your password.")
        password_hash = self._passwords.hash(normal(new))
        secret = _new_secret()
        with self._database.write() as writing:
            users.set_password(writing, user_id, password_hash)
            changed = users.by_id(writing, user_id)
            assert changed is not None  # noqa: S101 - it was changed just now
            _begin_session(writing, changed, secret, user_agent)
        return SignedIn(_account(changed), secret)

    # --- tokens for programs ---

    def tokens(self, user_id: int) -> list[Token]:
        """The user's tokens, newest first."""
        with self._database.read() as reading:
            return tokens.listed(reading, user_id)

    def add_token(self, user_id: int, name: str) -> tuple[Token, str]:
        """Create a token; its secret is not shown again.

        Raises:
            InvalidRequestError: the name is empty or too long.
            TokenLimitError: the user has reached the limit.
        """
        name = plain(name)
        if not 0 < len(name) <= _LONGEST_TOKEN_NAME:
            raise InvalidRequestError(
                f"name must have 1 to {_LONGEST_TOKEN_NAME} characters.", field="name"
            )
        secret = TOKEN_PREFIX + _new_secret()
        with self._database.write() as writing:
            users.take_turn(writing, user_id)
            if len(tokens.listed(writing, user_id)) >= MAX_TOKENS:
                raise TokenLimitError(f"You have {MAX_TOKENS} tokens: delete one first.")
            return tokens.create(writing, user_id, name=name, digest=_digest(secret)), secret

    def delete_token(self, user_id: int, token_id: int) -> None:
        """Revoke a token.

        Raises:
            NotFoundError: the user has no such token.
        """
        with self._database.write() as writing:
            tokens.remove(writing, user_id, token_id)

    # --- settings ---

    def settings(self, user_id: int) -> dict[str, Any]:
        """The user's settings."""
        with self._database.read() as reading:
            return users.settings(reading, user_id)

    def set_settings(self, user_id: int, values: dict[str, Any]) -> dict[str, Any]:
        """Replace the user's settings; returns what is stored.

        Raises:
            InvalidRequestError: they are too large.
            NotFoundError: there is no such account.
        """
        check_settings(values)
        with self._database.write() as writing:
            users.set_settings(writing, user_id, values)
        return values

    # --- for the operator ---

    def everyone(self, *, after_id: int = 0, limit: int = 100) -> list[User]:
        """Accounts in the order of their ids."""
        with self._database.read() as reading:
            return users.listed(reading, after_id=after_id, limit=limit)

    def named(self, username: str) -> Account:
        """The account of that name.

        Raises:
            NotFoundError: there is none.
        """
        user = self._user_named(username)
        if user is None:
            raise NotFoundError(f"There is no account {username!r}.")
        return _account(user)

    def set_password(self, user_id: int, new: str) -> None:
        """Set a new password, which ends every session.

        Raises:
            InvalidRequestError: it cannot be used.
            NotFoundError: there is no such account.
        """
        password_hash = self._hash(new, "password")
        with self._database.write() as writing:
            users.set_password(writing, user_id, password_hash)

    def delete(self, user_id: int) -> None:
        """Permanently delete an account and all that belongs to it.

        Raises:
            NotFoundError: there is no such account.
        """
        clear_user(self._database, user_id)

    def close(self) -> None:
        """End the threads that make hashes. Idempotent."""
        self._passwords.close()

    def _hash(self, password: str, field: str) -> str:
        check_password(password, field)
        return self._passwords.hash(normal(password))


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


def _begin_session(writing: Writing, user: User, secret: str, user_agent: str) -> None:
    shown = plain(user_agent)[:_LONGEST_USER_AGENT]
    sessions.create(writing, user, digest=_digest(secret), user_agent=shown)


def _account(user: User) -> Account:
    return Account(user.id, user.username, user.is_admin)


def _account_of(holder: Holder) -> Account:
    return Account(holder.user_id, holder.username, holder.is_admin)
