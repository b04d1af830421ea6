"""The lines printed once the server is listening: where, which model, and how to change it."""

import sys
from collections.abc import Sequence

from xwe.settings import Settings

_DEMO = """\
xwe: {where} - answers come from the built-in demo model (no key, no network).
要用真实模型:在 .env 中填写密钥(如 DEEPSEEK_API_KEY=…),或设 LLM_BASE_URL(Ollama、vLLM),再重启。
For a real model, put a key into .env (DEEPSEEK_API_KEY=...) or set LLM_BASE_URL, then restart.
"""

_REAL = """\
xwe: {where} - answers come from {model} ({provider}, {base_url}).
谁可以使用 / who may call: {access}.
Another model: LLM_PROVIDER, LLM_BASE_URL, LLM_MODEL; `xwe config` shows every setting.
"""


def announce(settings: Settings, addresses: Sequence[str]) -> None:
    """Print the three lines for a server that is listening at `addresses`."""
    provider = settings.provider
    text = (_DEMO if provider.is_demo else _REAL).format(
        where=", ".join(addresses),
        model=provider.model,
        provider=provider.name,
        base_url=provider.base_url,
        access=_access(settings),
    )
    # A terminal that cannot show Chinese must not stop the server from starting.
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _access(settings: Settings) -> str:
    if settings.access.mode == "open":
        return "anyone who can reach this address"
    if settings.access.api_token:
        return "programs with `Authorization: Bearer <XWE_API_TOKEN>`"
    return "no one; set XWE_API_TOKEN for programs, or XWE_ACCESS=open for this machine alone"
