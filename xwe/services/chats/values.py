"""The values of a chat: its bounds, a turn's parts, and what a page shows."""

from dataclasses import dataclass, field

from xwe.core.nlp.completion import Message as PromptMessage
from xwe.core.nlp.completion import Timings, Usage
from xwe.errors import XweError
from xwe.storage.records import Message, MessageStatus
from xwe.streams.answer import Answer


@dataclass(frozen=True, slots=True)
class ChatTimes:
    """The times of stored turns, in seconds.

    Attributes:
        lease_s: a process that has not renewed its lease for so long counts as dead.
        snapshot_s: how often the texts of running answers are stored: what a crash may lose.
        reap_s: how often answers of dead processes are searched for.
        follow_s: how often the row of another process's answer is read.
        read_s: how long a process's report holds that such an answer is read there.
        answer_s: the longest that a request waits for a whole answer.
    """

    lease_s: float = 30.0
    snapshot_s: float = 1.0
    reap_s: float = 10.0
    follow_s: float = 0.5
    read_s: float = 5.0
    answer_s: float = 240.0


@dataclass(frozen=True, slots=True)
class PromptLimits:
    """How much of what is known goes into a prompt, in tokens by estimate.

    Attributes:
        history_tokens: of what was said, the newest first.
        persona_tokens: of the character's profile.
        memory_tokens: of what the character remembers, the newest first.
        max_messages: of what was said, at most.
    """

    history_tokens: int = 6000
    persona_tokens: int = 3000
    memory_tokens: int = 1000
    max_messages: int = 100


@dataclass(frozen=True, slots=True)
class Opened:
    """A turn that has been stored and can be answered now, in the slot reserved for it.

    Attributes:
        user_id: whose chat.
        role: the character's name.
        answer: reserved, under the generation's id.
        row: what the answer is written to.
        asked: what the user said; None for a variant.
        prompt: for the model.
        instead_of: the id of the answer that was shown where this one comes, for a variant.
    """

    user_id: int
    role: str
    answer: Answer = field(repr=False)
    row: Message
    asked: Message | None
    prompt: list[PromptMessage] = field(repr=False)
    instead_of: int | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """A request that came before, and the row of its answer."""

    user_id: int
    row: Message


@dataclass(frozen=True, slots=True)
class Ending:
    """What is stored at the end of an answer; `error` is what ended it, if it was an error."""

    status: MessageStatus
    text: str
    error: XweError | None = None
    usage: Usage | None = None
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer."""

    text: str
    message_id: int
    generation_id: str | None
    status: MessageStatus
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message as a page shows it; `variants` has the ids at its place, if there are several."""

    message: Message
    variants: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownPage:
    """Messages in ascending order, and whether there are older ones."""

    messages: list[ShownMessage]
    has_more: bool
