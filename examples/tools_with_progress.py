"""A slow tool that reports its progress while the model goes on talking.

It is an ordinary blocking function, so it runs in a thread; the `Progress` in its signature may be
called from there.
"""

import time

from any_model import any_model

from xwe import Agent, LLMClient, Progress, events, tool


@tool(effect="idempotent", timeout_s=10)
def train(model: str, progress: Progress) -> str:
    """Train a small model under a name of your choice."""
    for epoch in range(1, 6):
        time.sleep(0.2)
        progress(epoch / 5, f"epoch {epoch}")
    return f"{model} is trained"


if __name__ == "__main__":
    with any_model(tokens_per_s=40), LLMClient(transport="aiohttp") as client:
        agent = Agent(client, [train])
        for event in agent.run('Train a model called "tiny", please.', max_tokens=40):
            match event:
                case events.CallProgress(fraction=fraction, message=message):
                    print(f"\n[{'#' * round(fraction * 20):20}] {message}")
                case events.TextGrew(text=text):
                    print(text, end="", flush=True)
                case events.Interrupted():
                    print(" ✂")
                case events.TurnEnded(timing=timing):
                    print(f"\nfirst text {timing.ttft_s:.1f} s, whole {timing.total_s:.1f} s")
        agent.close()
