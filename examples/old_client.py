"""A typical blocking client: one `requests.post` per question. Not an example itself."""

import os

import requests


class OldClient:
    """Asks the model, and blocks the calling thread until the answer is there."""

    def chat(self, prompt: str) -> str:
        """The model's answer."""
        reply = requests.post(
            os.environ["LLM_BASE_URL"] + "/chat/completions",
            headers={"Authorization": f"Bearer {os.environ['LLM_API_KEY']}"},
            json={
                "model": os.environ.get("LLM_MODEL", "deepseek-chat"),
                "messages": [{"role": "user", "content": prompt}],
            },
            timeout=30,
        )
        reply.raise_for_status()
        answer: str = reply.json()["choices"][0]["message"]["content"]
        return answer
