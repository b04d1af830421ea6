"""The extras: what `pip install xwe` leaves out, and the one error that says how to get it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from xwe.errors import MissingExtraError

# gunicorn stops when a worker exits with this status; after any other it starts the worker again.
EXIT_MISSING_EXTRA = 3

# What each extra brings, as the subject of the error's message.
_BRINGS = {
    "app": "The xwe application",
    "openai": "The OpenAI SDK",
    "postgres": "PostgreSQL's driver",
    "tools": "pydantic, which describes a tool by its function's signature,",
}


@contextmanager
def importing(extra: str) -> Iterator[None]:
    """Guard imports from the packages of an extra.

    Raises:
        MissingExtraError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "xwe":  # a mistake of our own; installing an extra does not help
            raise
        raise MissingExtraError(
            f"{_BRINGS[extra]} is not installed (no module {package!r}). "
            f"Run: pip install 'xwe[{extra}]'"
        ) from error


@contextmanager
def missing_extra_exits() -> Iterator[None]:
    """End the program in one line on standard error where an extra is missing.

    Raises:
        SystemExit: with the status `EXIT_MISSING_EXTRA`.
    """
    try:
        yield
    except MissingExtraError as error:
        sys.stderr.write(f"xwe: {error.message}\n")
        raise SystemExit(EXIT_MISSING_EXTRA) from None
