"""Maps the database's errors to ours.

An error that can only be a mistake in our code stays as it is, for the log; it names no values.
"""

import sqlite3

from sqlalchemy import exc

from xwe.errors import ConflictError, DatabaseUnavailableError, InvalidRequestError, XweError

# A locked or restarting database is usually back this soon.
RETRY_AFTER_S = 2.0

# The results of SQLite that come from outside the statement: see https://sqlite.org/rescode.html
_OUTSIDE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_PRIMARY = 0xFF  # the upper bits only add detail

# SQLSTATE classes and codes: see https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONNECTION, _RESOURCES, _OPERATOR, _SYSTEM, _ROLLBACK = "08", "53", "57", "58", "40"
_LOCK_NOT_AVAILABLE, _READ_ONLY, _IDLE_IN_TRANSACTION = "55P03", "25006", "25P03"
_UNIQUE, _FOREIGN_KEY = "23505", "23503"
_TOO_LONG, _OUT_OF_RANGE, _BAD_CHARACTER = "22001", "22003", "22021"


def unavailable(message: str = "") -> DatabaseUnavailableError:
    """The error for callers that should try again soon."""
    return DatabaseUnavailableError(message, retry_after_s=RETRY_AFTER_S)


def mapped(error: exc.SQLAlchemyError) -> XweError | None:
    """Our error for the library's; None if the code that ran the statement is wrong."""
    if isinstance(error, exc.TimeoutError):
        return unavailable("All database connections are taken; try again shortly.")
    if not isinstance(error, exc.DBAPIError):
        return None
    if isinstance(error, exc.IntegrityError):
        return ConflictError() if _is_clash(error.orig) else None
    if isinstance(error, exc.DataError) and _is_unfit(error.orig):
        return InvalidRequestError("A text or a number in it cannot be stored.")
    if error.connection_invalidated or _is_outside(error.orig):
        return unavailable()
    return None


def _is_clash(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return error.sqlite_errorcode in {
            sqlite3.SQLITE_CONSTRAINT_UNIQUE,
            sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
            sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
        }
    return getattr(error, "sqlstate", None) in {_UNIQUE, _FOREIGN_KEY}


def _is_unfit(error: BaseException | None) -> bool:
    """Whether a value was refused; without a state, the driver refused it."""
    refused = {None, _TOO_LONG, _OUT_OF_RANGE, _BAD_CHARACTER}
    return getattr(error, "sqlstate", None) in refused


def _is_outside(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        # An error of the module itself, such as a closed connection, has no code.
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & _PRIMARY in _OUTSIDE
    state = getattr(error, "sqlstate", None)
    if state is None:
        # Without a state no server has answered.
        return type(error).__name__ in {"OperationalError", "ConnectionTimeout"}
    return state in {_LOCK_NOT_AVAILABLE, _READ_ONLY, _IDLE_IN_TRANSACTION} or state.startswith(
        (_CONNECTION, _RESOURCES, _OPERATOR, _SYSTEM, _ROLLBACK)
    )
