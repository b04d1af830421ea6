"""Temporary failures are retried, slow calls are abandoned, and you set the limits.

It always asks the demo model, which fails here when told to. Lines that begin with "model call" are
the client's log. With a transport on the loop (aiohttp here) an abandoned call ends at once; with
`requests` its thread continues until the call's own timeout.
"""

import asyncio

from any_model import demo_model

from xwe import Backoff, ClientPolicy, LLMClient, RetryPolicy
from xwe.core.nlp.async_utils import AsyncHelper
from xwe.errors import DeadlineExceededError, ProviderAuthError, ProviderStatusError, XweError
from xwe.mock import Behaviour

BUSY = Behaviour(fault="status", status=503)
WRONG_KEY = Behaviour(fault="status", status=401)
SLOW = {"mock": {"latency_s": 30}}

QUICKLY = ClientPolicy(retry=RetryPolicy(max_attempts=3, backoff=Backoff(first_s=0.1)))
ONCE = ClientPolicy(retry=RetryPolicy(max_attempts=1))


def main() -> None:
    """Each case and its outcome."""
    with demo_model() as model, LLMClient(transport="aiohttp", policy=QUICKLY) as client:
        model.script(BUSY, BUSY)  # the next two requests
        reply = client.complete("Are you there?")
        assert reply.timings is not None  # noqa: S101 - every reply has them
        print(f"busy twice:    answered at attempt {reply.timings.attempts}")

        model.script(BUSY)
        with LLMClient(policy=ONCE) as once:
            try:
                once.chat("Are you there?")
            except ProviderStatusError as error:
                print(f"no retries:    {error.code} (worth another try: {error.retryable})")

        model.forget_requests()
        model.script(WRONG_KEY)
        try:
            client.chat("Let me in")
        except ProviderAuthError as error:
            print(f"a wrong key:   {error.code} after {len(model.requests)} attempt")

        try:
            client.complete("Take your time", timeout_s=0.2, extra=SLOW)
        except DeadlineExceededError as error:
            print(f"a deadline:    {error}")

        print(f"from outside:  {asyncio.run(given_up(client))}")

        # The base class covers all of these, and says whether a later attempt may work.
        try:
            client.complete("Take your time", timeout_s=0.2, extra=SLOW)
        except XweError as error:
            print(f"any of them:   {error.code}, retryable: {error.retryable}")


async def given_up(client: LLMClient) -> str:
    """A time limit around any awaitable."""
    try:
        await AsyncHelper.run_with_timeout(client.complete_async("Hm", extra=SLOW), timeout=0.2)
    except TimeoutError:
        return "TimeoutError after 0.2 s"
    return "answered"


if __name__ == "__main__":
    main()
