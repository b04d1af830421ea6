"""How much is measured: enough to show something in minutes, or enough to be quoted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Counts and times, in seconds.

    Attributes:
        name: as it is printed.
        repeats: runs of each client and import row, in turn; the median counts.
        calls: in one run of a client row.
        streams_each: streams that each reader reads, one after another.
        bursts: of each size at each web server.
        users: at once, at a web server.
        streams: at once, through a web server.
        loop_s: how long a closed loop of few users is measured.
        prompts: through the batch processor.
        imports: fresh processes for each module.
    """

    name: str
    repeats: int
    calls: int
    streams_each: int
    bursts: int
    users: tuple[int, ...]
    streams: tuple[int, ...]
    loop_s: float
    prompts: int
    imports: int

    @property
    def runs(self) -> str:
        return "one run" if self.repeats == 1 else f"the median of {self.repeats} runs"


QUICK = Scale(
    name="quick",
    repeats=1,
    calls=960,
    streams_each=1,
    bursts=1,
    users=(10, 1000),
    streams=(100, 1000),
    loop_s=3,
    prompts=5_000,
    imports=3,
)
WHOLE = Scale(
    name="whole",
    repeats=3,
    calls=3_200,
    streams_each=1,
    bursts=3,
    users=(10, 100, 500, 1000),
    streams=(100, 500, 1000),
    loop_s=6,
    prompts=20_000,
    imports=7,
)
