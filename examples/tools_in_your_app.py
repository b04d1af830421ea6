"""Your own tools in an existing Flask app, streamed from a synchronous view.

Both the view and the tools are plain functions. While the tools run, the model goes on talking, and
the page shows each piece as it comes.
"""

import time
from collections.abc import Iterator

import requests
from any_model import any_model
from flask import Flask, Response, request
from ten_users import served

from xwe import Agent, LLMClient, events, tool

STOCK = {"tea": 12, "coffee": 0}


@tool(effect="read_only")
def stock(item: str) -> str:
    """How many of an item are in stock."""
    time.sleep(0.5)  # an old database
    return f"{STOCK.get(item, 0)} of {item} in stock"


def create_app(agent: Agent) -> Flask:
    """The shop."""
    app = Flask(__name__)

    @app.post("/ask")
    def ask() -> Response:
        turn = agent.run(request.json["question"], max_tokens=40)

        def pieces() -> Iterator[str]:
            for event in turn:
                if isinstance(event, events.TextGrew):
                    yield event.text
                elif isinstance(event, events.CallFinished):
                    yield f"\n[{event.tool}: {event.output}]\n"

        return Response(pieces(), content_type="text/plain; charset=utf-8")

    return app


if __name__ == "__main__":
    with any_model(tokens_per_s=60), LLMClient(transport="aiohttp") as client:
        agent = Agent(client, [stock])
        with served(create_app(agent)) as address:
            question = {"question": 'How many of the item "tea" are in stock?'}
            with requests.post(f"{address}/ask", json=question, stream=True, timeout=30) as reply:
                reply.encoding = "utf-8"
                for piece in reply.iter_content(None, decode_unicode=True):
                    print(piece, end="", flush=True)
        print()
        agent.close()
