"""Asks an OpenAI-compatible server for its models before the application starts."""

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

TIMEOUT_S = 3.0
_LARGEST_LIST_BYTES = 4_000_000


def first_listed_model(base_url: str, api_key: str) -> str | None:
    """The first model listed at `base_url`; None if the reply is not a list of models.

    Args:
        base_url: the base of the API; `/models` is appended.
        api_key: sent as a bearer token.
    """
    parts = urlsplit(base_url)
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request(
            "GET", f"{parts.path}/models", headers={"Authorization": f"Bearer {api_key}"}
        )
        response = connection.getresponse()
        listed = json.loads(response.read(_LARGEST_LIST_BYTES))
        name = listed["data"][0]["id"]
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()
    return name if isinstance(name, str) and name else None
