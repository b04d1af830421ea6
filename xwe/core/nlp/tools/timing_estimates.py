"""How long an agent's tools and its model take, learned from its turns."""

import threading

# The weight of the newest observation: a service that slows down shows after a few calls.
WEIGHT = 0.3

# Fewer pieces say little about the model's pace.
ENOUGH_PIECES = 10

# A shorter bridge says nothing.
SHORTEST_BRIDGE = 24


class TimingEstimates:
    """Moving averages over all turns of an agent; thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tools_s: dict[str, float] = {}
        self._first_s: float | None = None
        self._pieces_per_s: float | None = None

    def note_tool(self, name: str, took_s: float) -> None:
        """Record that a tool has returned a result after `took_s` seconds."""
        with self._guard:
            self._tools_s[name] = _mixed(self._tools_s.get(name), took_s)

    def note_reply(self, first_s: float, pieces: int, speaking_s: float) -> None:
        """Record that a reply began after `first_s` seconds and then took `speaking_s`."""
        with self._guard:
            self._first_s = _mixed(self._first_s, first_s)
            if pieces >= ENOUGH_PIECES and speaking_s > 0:
                self._pieces_per_s = _mixed(self._pieces_per_s, pieces / speaking_s)

    def tool_s(self, name: str) -> float | None:
        """How long a tool takes, in seconds; None until it has returned a result."""
        return self._tools_s.get(name)

    def bridge_tokens(self, left_s: float) -> int | None:
        """How many tokens the model can say before results that are `left_s` seconds away.

        None until the model's pace is known; 0 where a bridge is not worth beginning.
        """
        first_s, pace = self._first_s, self._pieces_per_s
        if first_s is None or pace is None:
            return None
        tokens = int(pace * (left_s - first_s))
        return tokens if tokens >= SHORTEST_BRIDGE else 0


def _mixed(before: float | None, now: float) -> float:
    return now if before is None else before + WEIGHT * (now - before)
