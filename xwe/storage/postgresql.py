"""PostgreSQL's connections: no wait on one is without end, also when the server has frozen.

The server's own limits (`statement_timeout`, `lock_timeout`) are kept by the server, and the
network's end at a peer whose kernel still answers. What is left is the wait for a reply itself.
"""

import traceback
from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen

RV = TypeVar("RV")

# Of the time that anything may take: for the sign of life that each use begins with, and for a
# new connection where there was none. Together they are the whole.
PING_SHARE, CONNECT_SHARE = 0.4, 0.6
# The server is to notice first that a statement takes too long, for then the connection lives on.
GRACE_S = 1.0


class BoundedConnection(Connection[Any]):
    """A connection that is closed when a reply does not come in time."""

    timeout_s = 5.0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Run one exchange with the server.

        Raises:
            OperationalError: it took too long; the connection is closed.
        """
        if timeout is None:
            # Only the sign of life is asked for outside a transaction.
            timeout = self.timeout_s * PING_SHARE if self.autocommit else self.timeout_s + GRACE_S
        try:
            return super().wait(gen, interval, timeout)
        except OperationalError as error:
            if error.sqlstate is None:  # no word of the server's
                self.pgconn.finish()
            raise


def connect(timeout_s: float, **parameters: Any) -> BoundedConnection:
    """A new connection, whose exchanges take `timeout_s` at most."""
    try:
        connection = BoundedConnection.connect(**parameters)
    except OperationalError as error:
        # Its frames hold the attempt's socket open until the next garbage collection.
        traceback.clear_frames(error.__traceback__)
        raise
    connection.timeout_s = timeout_s
    return connection
