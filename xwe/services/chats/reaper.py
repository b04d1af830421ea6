"""Ending the answers of processes that have died: no row stays unfinished for long."""

import logging

from xwe.errors import AnswerLostError
from xwe.storage.database import Database
from xwe.storage.repositories import generations, messages
from xwe.storage.rows import now

log = logging.getLogger(__name__)


def reap(database: Database) -> int:
    """End what nobody makes any more, keeping the text that was stored; how many it were."""
    at = now()
    with database.read() as reading:  # takes no lock, and mostly finds nothing
        if not generations.expired(reading, at):
            return 0
    with database.write() as writing:
        ended = generations.expire(writing, at)
        messages.abandon(writing, [one.id for one in ended], error_code=AnswerLostError.code)
        for one in ended:
            for answer in messages.by_generation(writing, one.id):
                messages.fall_back(writing, answer)
    for one in ended:
        log.warning("Answer %s was lost with its process %s", one.id, one.owner)
    return len(ended)
