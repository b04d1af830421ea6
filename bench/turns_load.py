"""Runs turns with tools at one server: one after another, many at the same instant, many at once.

Each reader is one of `stream_load.py`'s. Prints one JSON object: the seconds of each turn, burst by
burst, and how many turns were not whole.
"""

import argparse
import json
import time

from stream_load import Reading, asking, read_all

PATH = "/api/agent/stream"
ASKED = {"message": "Look it up.", "mode": "preemptive"}
LIMIT_S = 60
PAUSE_S = 1.0


def seconds_of(reading: Reading) -> float | None:
    """How long a turn took; None where something is missing."""
    try:
        body = reading.body()
    except ValueError:
        return None
    is_whole = b"tool-output-available" in body and b'"finish"' in body
    return reading.seconds if is_whole and body.endswith(b"data: [DONE]\n\n") else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--alone", type=int, default=3)
    parser.add_argument("--together", type=int, default=200)
    parser.add_argument("--bursts", type=int, default=3)
    parser.add_argument("--spread", type=float, default=1, help="seconds over which to start")
    given = parser.parse_args()
    request = asking(given.port, PATH, json.dumps(ASKED))

    def burst(turns: int, spread_s: float = 0) -> list[float | None]:
        time.sleep(PAUSE_S)
        return [
            seconds_of(each) for each in read_all(given.port, request, turns, LIMIT_S, spread_s)
        ]

    alone = [burst(1)[0] for _ in range(given.alone)]
    runs = {
        "alone": [alone],
        "instant": [burst(given.together) for _ in range(given.bursts)],
        "spread": [burst(given.together, given.spread) for _ in range(given.bursts)],
    }
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
