"""An existing Flask app: its page about a city needs four answers from a model.

`existing_app_before.py` asks one question after another, `existing_app_after.py` all at once, and
five lines differ: `diff -B examples/existing_app_before.py examples/existing_app_after.py`. Run
both to see what ten users notice.
"""

from typing import Any

from flask import Flask, request
from old_client import OldClient
from ten_users import measure

QUESTIONS = ("What to see in {}?", "Where to eat in {}?", "Where to sleep in {}?", "Why {}?")


def create_app() -> Flask:
    """The app."""
    app = Flask(__name__)
    client = OldClient()

    @app.post("/api/guide")
    def guide() -> dict[str, Any]:
        city = request.json["city"]
        prompts = [question.format(city) for question in QUESTIONS]
        answers = [client.chat(prompt) for prompt in prompts]
        return {"city": city, "answers": answers}

    return app


if __name__ == "__main__":
    measure(create_app)
