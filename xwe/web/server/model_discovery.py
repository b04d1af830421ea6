"""Asking an OpenAI-compatible server which models it has, before the application starts."""

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

TIMEOUT_S = 3.0
_LARGEST_LIST_BYTES = 4_000_000


def first_listed_model(base_url: str, api_key: str) -> str | None:
    """The first model that `base_url` lists; None when it does not answer with a list.

    Args:
        base_url: where the API is; `/models` goes behind it.
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
