"""The four LLM_ASYNC_ variables are read at each use, so a running process can change them.

LLM_ASYNC_ENABLED=false is the kill switch: everything still answers, in the calling thread, without
the resident loop or a pool. `xwe config` lists every variable.
"""

import os
import threading

from any_model import any_model

from xwe import LLMClient, run_async_in_sync
from xwe.core.nlp.async_utils import AsyncConfig
from xwe.errors import DeadlineExceededError, SettingsError


async def where() -> str:
    """The thread that runs this coroutine."""
    return threading.current_thread().name


def show() -> None:
    """Print the current settings."""
    print(
        f"  {AsyncConfig.get_worker_count()} threads, {AsyncConfig.get_queue_size()} may wait, "
        f"{AsyncConfig.get_timeout():g} s a call, enabled: {AsyncConfig.is_async_enabled()}"
    )


def main() -> None:
    """Change each variable in turn."""
    with any_model(latency_s=0.5), LLMClient() as client:
        print("as it starts:")
        show()

        print("LLM_ASYNC_WORKERS=20, LLM_ASYNC_QUEUE_SIZE=10:")
        os.environ |= {"LLM_ASYNC_WORKERS": "20", "LLM_ASYNC_QUEUE_SIZE": "10"}
        show()

        print("LLM_ASYNC_TIMEOUT=0.2, also for the existing client:")
        os.environ["LLM_ASYNC_TIMEOUT"] = "0.2"
        try:
            client.chat("Quick!")
        except DeadlineExceededError as error:
            print(f"  {error}")
        del os.environ["LLM_ASYNC_TIMEOUT"]

        print("LLM_ASYNC_TIMEOUT=soon:")
        os.environ["LLM_ASYNC_TIMEOUT"] = "soon"
        try:
            AsyncConfig.get_timeout()
        except SettingsError as error:
            print(f"  {error}")
        del os.environ["LLM_ASYNC_TIMEOUT"]

        for switch in ("true", "false"):
            os.environ["LLM_ASYNC_ENABLED"] = switch
            print(f"LLM_ASYNC_ENABLED={switch}:")
            print(f"  a coroutine runs in {run_async_in_sync(where())}")
            print(f"  an answer of {len(run_async_in_sync(client.chat_async('Hi')))} characters")


if __name__ == "__main__":
    main()
