"""Accounts on a real database, with a clock that the test turns."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from sqlalchemy import select, update

from xwe.errors import (
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    SignupClosedError,
    TokenLimitError,
    UsernameTakenError,
    WrongPasswordError,
)
from xwe.services import accounts as module
from xwe.services.accounts import (
    MAX_TOKENS,
    SESSION_LASTS,
    TOKEN_PREFIX,
    WRONG_LOGINS,
    Accounts,
)
from xwe.services.passwords import Passwords
from xwe.storage.database import Database
from xwe.storage.models import session
from xwe.storage.repositories import users

PASSWORD = "a good password"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(sqlite_url):
    database = Database(sqlite_url, timeout_s=60)
    yield database
    database.close()


@pytest.fixture
def accounts(database, clock):
    accounts = Accounts(database, signup_is_open=True, clock=clock)
    yield accounts
    accounts.close()


@pytest.fixture
def ada(accounts):
    return accounts.register("ada", PASSWORD)


def test_who_registers_is_signed_in(accounts, ada):
    assert accounts.by_session(ada.secret).account == ada.account
    assert (ada.account.username, ada.account.is_admin) == ("ada", False)


@pytest.mark.parametrize("name", ["ab", "李白", "a.b-c_D9", "x" * 32])
def test_names_that_can_be_used(accounts, name):
    assert accounts.register(name, PASSWORD).account.username == name


@pytest.mark.parametrize("name", ["", "a", "x" * 33, "a b", "a/b", "<b>", "a\0b", "é́"])
def test_names_that_cannot(accounts, name):
    with pytest.raises(InvalidRequestError) as refused:
        accounts.register(name, PASSWORD)
    assert refused.value.field == "username"


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
def test_a_password_that_cannot_be_used(accounts, password):
    with pytest.raises(InvalidRequestError) as refused:
        accounts.register("ada", password)
    assert refused.value.field == "password"


def test_a_name_is_taken_once_in_whatever_width_it_is_typed(accounts, ada):
    for name in ("ada", "ａｄａ", " ada "):
        with pytest.raises(UsernameTakenError):
            accounts.register(name, PASSWORD)


def test_a_closed_sign_up_is_open_to_the_operator(database):
    accounts = Accounts(database, signup_is_open=False)
    with pytest.raises(SignupClosedError):
        accounts.register("ada", PASSWORD)
    accounts.add("ada", PASSWORD, is_admin=True)
    assert accounts.log_in("ada", PASSWORD).account.is_admin
    accounts.close()


def test_passwords_are_kept_as_argon2id(accounts, ada, database):
    with database.read() as reading:
        kept = users.by_id(reading, ada.account.id).password_hash
    parameters = extract_parameters(kept)
    assert parameters.type is Type.ID
    assert parameters.memory_cost >= 19_456
    assert PASSWORD not in kept


def test_secrets_are_not_in_the_database(accounts, ada, database, tmp_path):
    _, token = accounts.add_token(ada.account.id, "script")
    database.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in (PASSWORD, ada.secret, token):
        assert secret.encode() not in stored


# --- wrong passwords ---


def test_the_sixth_wrong_login_within_a_minute_is_refused_unheard(accounts, ada, clock):
    for name in ("ada", "ada", "ada", "ａda", "ａｄａ"):  # in whatever width it is typed
        with pytest.raises(WrongPasswordError):
            accounts.log_in(name, "wrong", address="192.0.2.1")
    for password in ("wrong", PASSWORD):
        with pytest.raises(LimitExceededError) as refused:
            accounts.log_in("ada", password, address="192.0.2.2")
        assert refused.value.retry_after_s == 60
    clock.now = 60
    assert accounts.log_in("ada", PASSWORD, address="192.0.2.2").account == ada.account


def test_it_is_also_counted_by_address(accounts, ada):
    for number in range(5):
        with pytest.raises(WrongPasswordError):
            accounts.log_in(f"name{number}", "wrong", address="192.0.2.1")
    with pytest.raises(LimitExceededError):
        accounts.log_in("ada", PASSWORD, address="192.0.2.1")
    assert accounts.log_in("ada", PASSWORD, address="192.0.2.2").account == ada.account


def test_right_ones_do_not_count(accounts, ada):
    for _ in range(4):
        with pytest.raises(WrongPasswordError):
            accounts.log_in("ada", "wrong", address="192.0.2.1")
    for number in range(8):
        accounts.log_in("ada", PASSWORD, address=f"192.0.2.{number + 2}")


def test_guesses_that_come_at_once_do_not_slip_through(database, clock):
    """Each is checked again when its turn has come, however many stood in line."""
    accounts = Accounts(database, signup_is_open=True, passwords=Passwords(1), clock=clock)
    accounts.add("ada", PASSWORD)
    heard, refused = [], []

    def guess():
        try:
            accounts.log_in("ada", "wrong", address="192.0.2.1")
        except WrongPasswordError:
            heard.append(1)
        except LimitExceededError:
            refused.append(1)

    threads = [threading.Thread(target=guess) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accounts.close()
    assert (len(heard), len(refused)) == (WRONG_LOGINS, 30 - WRONG_LOGINS)


def test_unknown_and_known_names_take_the_same_work(accounts, ada, monkeypatch):
    """Counted in hashes, not in time: one each, of the same parameters."""
    verified = []
    matches = Passwords._matches
    monkeypatch.setattr(
        Passwords,
        "_matches",
        lambda self, password, kept: verified.append(kept) or matches(self, password, kept),
    )
    for name in ("ada", "nobody", "not/a/name", "ada" * 100):
        with pytest.raises(WrongPasswordError):
            accounts.log_in(name, "wrong", address=name)
    assert len(verified) == 4
    parameters = [extract_parameters(kept) for kept in verified]
    assert parameters == [parameters[0]] * 4


# --- sessions ---


def test_a_session_ends_by_itself(accounts, ada):
    other = accounts.log_in("ada", PASSWORD, user_agent="Firefox\0\n")
    listed = accounts.sessions(ada.account.id)
    assert sorted(session.user_agent for session in listed) == ["", "Firefox"]
    accounts.end_session(ada.account.id, accounts.by_session(ada.secret).session_id)
    assert accounts.by_session(ada.secret) is None
    assert accounts.by_session(other.secret) is not None


def test_nobody_ends_somebody_elses_session(accounts, ada):
    bob = accounts.register("bob", PASSWORD)
    with pytest.raises(NotFoundError):
        accounts.end_session(bob.account.id, accounts.by_session(ada.secret).session_id)
    assert accounts.by_session(ada.secret) is not None


@pytest.mark.parametrize(
    "end",
    [
        lambda accounts, user_id: accounts.log_out_everywhere(user_id),
        lambda accounts, user_id: accounts.set_password(user_id, "another password"),
        lambda accounts, user_id: accounts.delete(user_id),
    ],
    ids=["signed out everywhere", "password set by the operator", "account deleted"],
)
def test_all_sessions_end_at_once(accounts, ada, end):
    other = accounts.log_in("ada", PASSWORD)
    end(accounts, ada.account.id)
    assert accounts.by_session(ada.secret) is accounts.by_session(other.secret) is None


def test_a_new_password_ends_every_session_but_the_new_one(accounts, ada):
    changed = accounts.change_password(ada.account.id, PASSWORD, "another password")
    assert accounts.by_session(ada.secret) is None
    assert accounts.by_session(changed.secret).account == ada.account
    with pytest.raises(WrongPasswordError):
        accounts.log_in("ada", PASSWORD)
    accounts.log_in("ada", "another password")


def test_the_old_password_cannot_be_guessed_there_either(accounts, ada):
    for _ in range(5):
        with pytest.raises(WrongPasswordError):
            accounts.change_password(ada.account.id, "wrong", "another password")
    with pytest.raises(LimitExceededError):
        accounts.change_password(ada.account.id, PASSWORD, "another password")


def test_a_session_is_over_when_it_was_not_used_for_long(accounts, ada, monkeypatch):
    def later(days):
        at = datetime.now(UTC) + timedelta(days=days)
        monkeypatch.setattr(module, "_now", lambda: at)

    later(SESSION_LASTS.days - 1)
    assert accounts.by_session(ada.secret) is not None
    later(SESSION_LASTS.days + 1)
    assert accounts.by_session(ada.secret) is None


def test_who_only_reads_waits_for_nobody_who_writes(either_url, clock):
    """Otherwise for longer than this test; and a note is tried once a minute."""
    with (
        closing(Database(either_url, timeout_s=100)) as database,
        closing(Database(either_url, timeout_s=100)) as writer,
        closing(Accounts(database, signup_is_open=True, clock=clock)) as accounts,
        ThreadPoolExecutor(1) as pool,
    ):
        secret = accounts.register("ada", PASSWORD).secret
        long_ago = datetime.now(UTC) - timedelta(days=1)

        def last_seen():
            with writer.read() as reading:
                return reading.execute(select(session.c.last_seen)).scalar_one()

        with writer.write() as writing:
            writing.execute(update(session).values(last_seen=long_ago))
        with writer.write() as writing:
            writing.execute(update(session).values(last_seen=long_ago))
            assert pool.submit(accounts.by_session, secret).result(60).account.username == "ada"
        clock.now += 59
        accounts.by_session(secret)
        assert last_seen() == long_ago
        clock.now += 2
        accounts.by_session(secret)
        assert last_seen() > long_ago


def test_a_session_ends_by_the_secret_that_its_browser_shows(accounts, ada):
    other = accounts.log_in("ada", PASSWORD)
    accounts.log_out(other.secret)
    accounts.log_out(other.secret)  # once more is no mistake
    assert accounts.by_session(other.secret) is None
    assert accounts.by_session(ada.secret) is not None


def test_a_login_with_a_password_that_was_changed_meanwhile_begins_no_session(
    accounts, ada, monkeypatch
):
    """The session has the version that the password was checked with."""
    is_right = Passwords.is_right

    def change_in_between(self, password, kept, **hooks):
        found = is_right(self, password, kept, **hooks)
        accounts.set_password(ada.account.id, "another password")
        return found

    monkeypatch.setattr(Passwords, "is_right", change_in_between)
    assert accounts.by_session(accounts.log_in("ada", PASSWORD).secret) is None


# --- tokens and settings ---


def test_a_token_speaks_for_its_user_until_it_is_deleted(accounts, ada):
    token, secret = accounts.add_token(ada.account.id, "  script\0 ")
    assert (token.name, secret.startswith(TOKEN_PREFIX)) == ("script", True)
    assert accounts.by_token(secret).account == ada.account
    assert accounts.tokens(ada.account.id)[0].last_used_at is not None
    bob = accounts.register("bob", PASSWORD)
    with pytest.raises(NotFoundError):
        accounts.delete_token(bob.account.id, token.id)
    accounts.delete_token(ada.account.id, token.id)
    assert accounts.by_token(secret) is None


def test_there_are_so_many_tokens_and_to_wait_does_not_help(accounts, ada):
    for number in range(MAX_TOKENS):
        last, _ = accounts.add_token(ada.account.id, f"{number}")
    with pytest.raises(TokenLimitError) as refused:
        accounts.add_token(ada.account.id, "one more")
    assert not refused.value.retryable
    accounts.delete_token(ada.account.id, last.id)
    accounts.add_token(ada.account.id, "one more")


@pytest.mark.parametrize("secret", ["", "xwe_", "xwe_wrong", "\udc80"])
def test_what_is_no_secret_is_nobodys(accounts, ada, secret):
    assert accounts.by_session(secret) is accounts.by_token(secret) is None


def test_a_session_is_no_token_and_a_token_no_session(accounts, ada):
    _, token = accounts.add_token(ada.account.id, "script")
    assert accounts.by_token(ada.secret) is accounts.by_session(token) is None


def test_settings_are_replaced_as_a_whole_and_bounded(accounts, ada):
    assert accounts.settings(ada.account.id) == {}
    accounts.set_settings(ada.account.id, {"language": "zh"})
    accounts.set_settings(ada.account.id, {"theme": "dark"})
    assert accounts.settings(ada.account.id) == {"theme": "dark"}
    with pytest.raises(InvalidRequestError):
        accounts.set_settings(ada.account.id, {"x": "y" * 20_000})
