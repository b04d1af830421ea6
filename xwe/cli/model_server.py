"""The built-in model server as a child process: `python -m xwe.cli.model_server [port]`.

It says its base URL on standard output once it listens, and ends when its standard input does:
whoever started it holds the other end of that pipe.
"""

import asyncio
import sys

from xwe.mock import Behaviour
from xwe.mock.server import ModelServer

# A pace that one can watch, and a wait that does not annoy.
DEMO = Behaviour(latency_s=0.3, tokens_per_s=40)


async def serve(port: int) -> None:
    """Serve on the loopback address until standard input ends."""
    server = ModelServer(DEMO)
    bound = await server.start("127.0.0.1", port)
    sys.stdout.write(f"http://127.0.0.1:{bound}/v1\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    await server.stop()


def main(arguments: list[str]) -> None:
    """Serve on the port that the first argument names; without one, on any free one."""
    asyncio.run(serve(int(arguments[0]) if arguments else 0))


if __name__ == "__main__":
    main(sys.argv[1:])
