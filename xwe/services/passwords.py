"""Passwords as Argon2id hashes, made in a pool of as many threads as there are cores.

A hash is slow and takes memory on purpose. In a pool, a hundred people who sign in at once queue
instead of taking every core and two gigabytes of memory.
"""

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from xwe.core.concurrency.executor import BoundedThreadPoolExecutor

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# The least that OWASP recommends: about 20 ms of one core and 19 MiB.
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1

# More would wait longer than people do, so they are refused.
MAX_WAITING = 200


class Passwords:
    """Makes and checks hashes. Thread-safe; blocks the caller, so not for the event loop.

    Args:
        threads: how many hashes are computed at once; one for each core by default.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._pool = BoundedThreadPoolExecutor(
            threads or os.cpu_count() or 1, MAX_WAITING, thread_name_prefix="xwe-passwords"
        )
        self._guard = threading.Lock()

    def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            SaturatedError: the queue is full.
        """
        return self._pool.submit(lambda: self._hasher.hash(password)).result()

    def is_right(
        self,
        password: str,
        kept: str | None,
        *,
        first: Callable[[], object] = lambda: None,
        when_wrong: Callable[[], object] = lambda: None,
    ) -> bool:
        """Whether `kept` is the password's hash.

        Without a hash this takes as long and returns False, so that its time does not show which
        names exist.

        Args:
            password: as it was typed.
            kept: the account's hash; None if there is no account.
            first: called in the pool's thread beforehand; an exception ends the check.
            when_wrong: called there afterwards, before the thread starts the next check.

        Raises:
            SaturatedError: the queue is full.
        """

        def check() -> bool:
            first()
            is_right = self._matches(password, kept or self._nobodys) and kept is not None
            if not is_right:
                when_wrong()
            return is_right

        return self._pool.submit(check).result()

    def _matches(self, password: str, kept: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - as below

        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    @property
    def _hasher(self) -> "PasswordHasher":
        return self._made[0]

    @property
    def _nobodys(self) -> str:
        return self._made[1]

    @property
    def _made(self) -> "tuple[PasswordHasher, str]":
        with self._guard:  # the first two callers must not both pay for this
            return self._hasher_and_nobodys

    @cached_property
    def _hasher_and_nobodys(self) -> "tuple[PasswordHasher, str]":
        """The hasher, and the hash of a password that nobody has.

        Made together, so that the first unknown name takes no longer than the first known one.
        """
        from argon2 import PasswordHasher  # noqa: PLC0415 - most processes never need it

        hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        return hasher, hasher.hash(os.urandom(16).hex())

    def close(self) -> None:
        """End the threads. Idempotent."""
        self._pool.shutdown()
