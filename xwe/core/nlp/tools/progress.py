"""How a tool says how far it is."""

from collections.abc import Callable

ProgressSink = Callable[[float | None, str], object]


class Progress:
    """Given to a tool that has a parameter of this type; may be called from any thread.

    ::

        @tool(effect="read_only")
        def download(url: str, progress: Progress) -> str:
            progress(0.5, "half of it")

    Args:
        sink: takes what is said.
    """

    __slots__ = ("_sink",)

    def __init__(self, sink: ProgressSink) -> None:
        self._sink = sink

    def __call__(self, fraction: float | None = None, message: str = "") -> None:
        """Tell the reader.

        Args:
            fraction: of the work that is done, 0 to 1; None where that is unknown.
            message: a few words.
        """
        self._sink(None if fraction is None else min(1.0, max(0.0, fraction)), message)
