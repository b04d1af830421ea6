"""A streamed answer's pieces gathered, so that one write carries all that came meanwhile.

On a busy server each write costs more than the piece in it: the thread is woken for it, the
kernel is called, and the client's machine handles a packet.
"""

import asyncio
from collections.abc import AsyncGenerator

from xwe.core.concurrency.mailbox import Mailbox
from xwe.core.nlp.completion import Delta
from xwe.web.departure import ClosableStream


async def gathered_text(
    stream: ClosableStream[Delta], pause_s: float
) -> AsyncGenerator[Delta, None]:
    """The text of `stream`: the first at once, then each time what came within `pause_s` seconds.

    The end does not wait either. An error is raised after the text that came before it. `stream`
    is read by one task of its own, and is closed before the generator is.
    """
    mailbox: Mailbox[Delta] = Mailbox()
    reading = asyncio.create_task(_fill(mailbox, stream))
    try:
        while deltas := await mailbox.drain_async():
            text = "".join([delta.text for delta in deltas])
            if text:
                yield Delta(text)
                await asyncio.wait({reading}, timeout=pause_s)
    finally:
        mailbox.leave()
        reading.cancel()
        await asyncio.wait({reading})


async def _fill(mailbox: Mailbox[Delta], stream: ClosableStream[Delta]) -> None:
    try:
        try:
            async for delta in stream:
                if not mailbox.put(delta):
                    await mailbox.space()
        finally:
            await stream.aclose()
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the reader
        mailbox.close(error)
    else:
        mailbox.close()
