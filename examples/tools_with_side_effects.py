"""Tools that change something: they start late, and run once whatever happens.

A tool that only reads starts at the closing brace of its own arguments. A tool with side effects
waits until the model has finished its answer, does not run twice for the same order, and may go on
for a moment after its reader has left.
"""

import asyncio
import threading

from any_model import demo_model

from xwe import Agent, LLMClient, events, tool
from xwe.mock import Behaviour

ORDERS: list[str] = []
gone_through = threading.Event()


@tool(effect="read_only")
async def price(item: str) -> float:
    """What an item costs."""
    return {"tea": 3.5}.get(item, 9.9)


@tool(effect="side_effect")
async def order(item: str) -> str:
    """Order an item. It is paid for at once."""
    await asyncio.sleep(0.2)
    ORDERS.append(item)
    return f"order {len(ORDERS)}: {item}"


def calls(item: str, times: int) -> Behaviour:
    """A model that looks up the price and then orders so many times."""
    orders = [{"name": "order", "arguments": {"item": item}}] * times
    asked = [{"name": "price", "arguments": {"item": item}}, *orders]
    return Behaviour(tool_calls=asked, tokens_per_s=100)


if __name__ == "__main__":
    with demo_model() as model, LLMClient(transport="aiohttp") as client:
        agent = Agent(client, [price, order], on_outcome=lambda *_: gone_through.set())
        model.script_by_kind(offers_tools=calls("tea", times=2))
        for event in agent.run("Order a tea, please.", mode="sync"):
            if isinstance(event, events.CallStarted):
                print(f"{event.at_s:5.2f} s  {event.tool} starts")
            elif isinstance(event, events.StepEnded):
                print(f"{event.at_s:5.2f} s  the model has finished speaking")
            elif isinstance(event, events.CallFinished):
                print(f"{event.at_s:5.2f} s  {event.tool}: {event.output}")
        print(f"asked for twice, ordered: {ORDERS}")

        model.script_by_kind(offers_tools=calls("coffee", times=1))
        turn = agent.run("And a coffee.")
        while not (isinstance(event := next(turn), events.CallStarted) and event.tool == "order"):
            pass
        gone_through.clear()
        turn.close()  # the reader has closed the page
        gone_through.wait(5)
        print(f"the reader left meanwhile, ordered all the same: {ORDERS}")
        agent.close()
