"""An existing Flask app: its page about a city needs four answers from a model.

`existing_app_before.py` asks one question after another, `existing_app_after.py` all at once, and
five lines differ: `diff -B examples/existing_app_before.py examples/existing_app_after.py`. Run
both to see what ten users notice.
"""

from typing import Any

from flask import Flask, request
from ten_users import measure

from xwe import AsyncBridge, LLMClient, gather_with_limit

QUESTIONS = ("What to see in {}?", "Where to eat in {}?", "Where to sleep in {}?", "Why {}?")


def create_app() -> Flask:
    """The app."""
    app = Flask(__name__)
    AsyncBridge(app)
    client = LLMClient(transport="aiohttp")

    @app.post("/api/guide")
    async def guide() -> dict[str, Any]:
        city = request.json["city"]
        prompts = [question.format(city) for question in QUESTIONS]
        answers = await gather_with_limit(map(client.chat_async, prompts), return_exceptions=False)
        return {"city": city, "answers": answers}

    return app


if __name__ == "__main__":
    measure(create_app)
