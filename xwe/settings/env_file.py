"""The `.env` file: read by the entry points (wsgi.py, the command line), never by an import."""

import os
from pathlib import Path

from dotenv import dotenv_values

from xwe.errors import SettingsError

ENV_FILE = Path(".env")


def read_env_file(path: Path = ENV_FILE) -> frozenset[str]:
    """Put the variables of the file into the process's environment; what is there already wins.

    A missing file is no error. Returns the names that came from the file.

    Raises:
        SettingsError: the file is there and cannot be read.
    """
    try:
        # Not interpolated: a key may hold a dollar sign.
        with path.open(encoding="utf-8-sig") as stream:
            values = dotenv_values(stream=stream, interpolate=False)
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(str(path), "", f"the file cannot be read: {reason}") from None
    taken = {name: text or "" for name, text in values.items() if name not in os.environ}
    os.environ.update(taken)
    return frozenset(taken)
