"""The key that signs sessions, made once and kept: the only thing here that touches a file."""

import os
import secrets
from pathlib import Path

from xwe.errors import SettingsError
from xwe.settings.groups import Settings
from xwe.settings.loading import with_secret_key

_FILE_NAME = "secret_key"
_KEY_BYTES = 32


def ensure_secret_key(settings: Settings) -> Settings:
    """`settings` with a secret key: the operator's, else the kept one, else a new one, kept.

    Any number of processes may start at once; all of them get the same key.

    Raises:
        SettingsError: the instance directory cannot be used.
    """
    if settings.access.secret_key:
        return settings
    directory = settings.server.instance_dir
    path = directory / _FILE_NAME
    try:
        if not path.exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep_new_key(path)
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(
            "XWE_INSTANCE_DIR", str(directory), f"its {_FILE_NAME} cannot be kept or read: {reason}"
        ) from None
    if len(key) < _KEY_BYTES:
        raise SettingsError(
            "XWE_INSTANCE_DIR", str(directory), f"its {_FILE_NAME} is cut short: remove the file"
        )
    return with_secret_key(settings, key)


def _keep_new_key(path: Path) -> None:
    # A link either puts the whole file in its place or fails because another process was first,
    # so that no reader ever sees a half-written key.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
