"""How a tool reports its progress."""

from collections.abc import Callable

ProgressSink = Callable[[float | None, str], object]


class Progress:
    """Passed to a tool that has a parameter of this type; may be called from any thread.

    ::

        @tool(effect="read_only")
        def download(url: str, progress: Progress) -> str:
            progress(0.5, "half done")

    Args:
        sink: receives the reports.
    """

    __slots__ = ("_sink",)

    def __init__(self, sink: ProgressSink) -> None:
        self._sink = sink

    def __call__(self, fraction: float | None = None, message: str = "") -> None:
        """Report progress to the reader.

        Args:
            fraction: the share of the work that is done, 0 to 1; None if unknown.
            message: a few words.
        """
        self._sink(None if fraction is None else min(1.0, max(0.0, fraction)), message)
