"""PostgreSQL connections whose waits all end, even when the server has frozen.

`statement_timeout` and `lock_timeout` are enforced by the server itself, and network timeouts do
not help while its kernel answers. What remains is a limit on the wait for a reply.
"""

import traceback
from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen

RV = TypeVar("RV")

# Of the time that anything may take: for the sign of life that each use begins with, and for a
# new connection where there was none. Together they are the whole.
PING_SHARE, CONNECT_SHARE = 0.4, 0.6
# Longer than the server's own limit: if the server ends the statement, the connection survives.
GRACE_S = 1.0


class BoundedConnection(Connection[Any]):
    """A connection that closes when a reply takes too long."""

    timeout_s = 5.0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Run one exchange with the server.

        Raises:
            OperationalError: it took too long; the connection is closed.
        """
        if timeout is None:
            # Only the check of the connection runs outside a transaction.
            timeout = self.timeout_s * PING_SHARE if self.autocommit else self.timeout_s + GRACE_S
        try:
            return super().wait(gen, interval, timeout)
        except OperationalError as error:
            if error.sqlstate is None:  # no word of the server's
                self.pgconn.finish()
            raise


def connect(timeout_s: float, **parameters: Any) -> BoundedConnection:
    """Open a connection whose exchanges take at most `timeout_s`."""
    try:
        connection = BoundedConnection.connect(**parameters)
    except OperationalError as error:
        # Its frames would keep the attempt's socket open until the next garbage collection.
        traceback.clear_frames(error.__traceback__)
        raise
    connection.timeout_s = timeout_s
    return connection
