"""A travel guide that looks up weather and food, 2.5 s each, in the three modes of calling tools.

In sync mode the model says nothing while it waits. In non_preemptive mode it goes on talking until
it has finished. In preemptive mode it is cut off as soon as both results are there.
"""

import asyncio
import time

from any_model import any_model

from xwe import Agent, LLMClient, events, tool

SERVICE_TAKES_S = 2.5


@tool(effect="read_only")
async def weather(city: str) -> str:
    """Today's weather in a city. 天气."""
    await asyncio.sleep(SERVICE_TAKES_S)
    return f"{city}：晴，18 到 27 度（示例）"


@tool(effect="read_only")
async def food(city: str) -> list[str]:
    """What to eat in a city. 美食."""
    await asyncio.sleep(SERVICE_TAKES_S)
    return ["烤鸭", "炸酱面", "豆汁"] if city == "北京" else ["当地小吃"]


if __name__ == "__main__":
    with (
        any_model(latency_s=0.2, tokens_per_s=100, length=400),
        LLMClient(transport="aiohttp") as client,
    ):
        for mode in ("sync", "non_preemptive", "preemptive"):
            # A new agent each time: it learns how long its tools take and would shorten its bridge.
            agent = Agent(client, [weather, food])
            began, notes = time.monotonic(), {}
            shown = ""
            for event in agent.run("北京今天天气怎么样？有什么美食？", mode=mode):
                at = time.monotonic() - began
                if isinstance(event, events.TextGrew):
                    notes.setdefault("first text", at)
                    shown += event.text
                elif isinstance(event, events.Interrupted):
                    notes["cut off"] = at
                    shown += " ✂ "
                elif isinstance(event, events.TurnEnded):
                    notes["knows the results"] = event.timing.first_grounded_s
                    notes["whole"] = at
            times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in notes.items())
            print(f"{mode:15} {times}")
            print(f"{'':15} …{shown[-60:]}".replace("\n", " "))
            agent.close()
