"""What the demo model says in English."""

import re
from typing import Final

from xwe.mock.phrases import Kind, Phrases

_GREETING: Final = Kind(
    asked_for=re.compile(r"^\W*(hi|hello|hey|good (morning|afternoon|evening))\b", re.IGNORECASE),
    bodies=(
        (
            "Hello! It is good to see the stream working. You could ask me to:\n\n"
            "- **write some code** (“fetch three URLs at once in Python”)\n"
            "- **list the steps** of something (“how do I deploy a Flask app?”)\n"
            "- **compare two things** (“threads or coroutines?”)"
        ),
        (
            "Hello! Every word here came from the server in a piece of its own. Now try this:\n\n"
            "1. Ask a “how do I” question and watch the list appear line by line.\n"
            "2. Ask for code and watch the block grow.\n"
            "3. Press stop while I am talking: what you have read so far stays."
        ),
    ),
)
_CODE: Final = Kind(
    asked_for=re.compile(
        r"\b(code|function|script|program|bug|python|javascript|flask|asyncio)\b", re.IGNORECASE
    ),
    bodies=(
        (
            "Here is an example that runs, and waits for several things at once:\n\n"
            "```python\n"
            "import asyncio\n\n\n"
            "async def answer(question: str) -> str:\n"
            "    await asyncio.sleep(1)  # a real model call would wait here\n"
            '    return f"About {question}"\n\n\n'
            "async def main() -> None:\n"
            '    questions = ["weather", "food", "routes"]\n'
            "    for reply in await asyncio.gather(*map(answer, questions)):\n"
            "        print(reply)\n\n\n"
            "asyncio.run(main())\n"
            "```\n\n"
            "The three answers take one second in all, because they wait **together**."
        ),
        (
            "A minimal example first, to grow from:\n\n"
            "```python\n"
            "from xwe import LLMClient\n\n"
            "client = LLMClient()\n"
            'for delta in client.stream([{"role": "user", "content": "Hello"}]):\n'
            '    print(delta.text, end="", flush=True)\n'
            "```\n\n"
            "What matters:\n\n"
            "1. Make the client once; its connections are reused.\n"
            "2. Read a stream to its end or close it, so that the request upstream ends too.\n"
            "3. When it fails, read the exception's name: it says why."
        ),
    ),
)
_STEPS: Final = Kind(
    asked_for=re.compile(r"\b(how (do|can|to|should)|steps?|plan|tutorial|guide)\b", re.IGNORECASE),
    bodies=(
        (
            "For “{quote}”, these steps would do:\n\n"
            "1. **Name the goal** in one sentence, and what counts as done.\n"
            "2. **Cut it into small steps**, each of which can be checked by itself.\n"
            "3. **Start with the least certain one**: the sooner you know, the better.\n"
            "4. **Write down what happened**, so that next time you can compare.\n\n"
            "> The frame is a template; a real model would fill in the substance."
        ),
        (
            "“{quote}” falls into three phases:\n\n"
            "- **Prepare**: gather what you need and list the constraints.\n"
            "- **Do**: begin with the smallest version that works.\n"
            "- **Check**: hold it against the goal, then stop or go on."
        ),
    ),
)
_COMPARE: Final = Kind(
    asked_for=re.compile(
        r"\b(compare|comparison|difference|versus|vs|pros and cons|better)\b", re.IGNORECASE
    ),
    bodies=(
        (
            "A comparison is best read as a table:\n\n"
            "| aspect | the first | the second |\n"
            "| --- | --- | --- |\n"
            "| to get started | easy | takes a while |\n"
            "| flexibility | some | a lot |\n"
            "| good for | small and simple | large and lasting |\n\n"
            "The cells are samples; a real model would compare for “{quote}” in earnest."
        ),
    ),
)
_STORY: Final = Kind(
    asked_for=re.compile(r"\b(story|poem|haiku|novel|essay|tale|lyrics)\b", re.IGNORECASE),
    bodies=(
        (
            "A few sample lines, on “{quote}”:\n\n"
            "> A row of small lamps in a room at night,\n"
            "> a word, and a word, and a word on the wire;\n"
            "> somebody waits in the pale screen's light\n"
            "> and the answer begins, no sooner, no higher.\n\n"
            "A real model would write more, and more to the point."
        ),
    ),
)
_LIST: Final = Kind(
    asked_for=re.compile(
        r"\b(recommend|suggest|list|ideas?|examples?|options?|tips?)\b", re.IGNORECASE
    ),
    bodies=(
        (
            "For “{quote}”, a sample list:\n\n"
            "- **The safe choice**: most people like it, and little can go wrong.\n"
            "- **The thrifty choice**: it costs little and does the job.\n"
            "- **The bold choice**: worth a try, with a way back.\n\n"
            "The frame is real; the entries would be a real model's."
        ),
    ),
)
_WHAT: Final = Kind(
    asked_for=re.compile(r"\b(what|why|who|explain|describe|tell me)\b", re.IGNORECASE),
    bodies=(
        (
            "To explain “{quote}”, a real model would usually give:\n\n"
            "1. **A definition in one sentence**, to start from.\n"
            "2. **An example from daily life** that shows it at work.\n"
            "3. **A common misunderstanding**, and why it is one."
        ),
        (
            "“{quote}” can be seen from three sides:\n\n"
            "- **What it is**: where it begins and ends.\n"
            "- **Why it matters**: which problem it solves.\n"
            "- **What to read next**: where to go from here."
        ),
    ),
)

PHRASES: Final = Phrases(
    openings=(
        "I am xwe's built-in demo model, not a real language model; this answer is a template.",
        (
            "(Demo answer) This is xwe's built-in demo model. It does not think, it fills in "
            "templates: it is not a real language model."
        ),
        (
            "First things first: I am the demo model that comes with xwe, not a real language "
            "model, and what follows is for show."
        ),
    ),
    nothing_asked="No text reached me this time; type a question and try again.",
    heard="Your message came through ({characters} characters): “{quote}”",
    kinds=(_GREETING, _CODE, _COMPARE, _STEPS, _STORY, _LIST, _WHAT),
    general=(
        (
            "Faced with “{quote}”, a real model might:\n\n"
            "- first **make sure it understood**, and ask for a detail if need be;\n"
            "- then give **the main points**, weightiest first;\n"
            "- and end on **something you can do right away**."
        ),
        (
            "A good answer to “{quote}” would hold:\n\n"
            "1. **A plain conclusion.**\n"
            "2. **Two or three reasons** that carry it.\n"
            "3. A sentence on **when it would no longer hold**."
        ),
    ),
    turn="This is turn {turn} of our conversation; before it you said “{earlier}”.",
    system="The system prompt says “{system}”; a real model would go by it.",
    closings=(
        (
            "For a real model, set `LLM_API_KEY`, or point `LLM_BASE_URL` to a server of your own, "
            "and start again."
        ),
        (
            "Set `LLM_API_KEY` (or `LLM_BASE_URL`), restart, and a real model answers on this same "
            "page."
        ),
    ),
    fillers=(
        (
            "To go on: these words only fill the asked-for length, so that the pace of "
            "the stream can be seen."
        ),
        (
            "A further note: each piece is shown the moment it arrives, long before the answer is "
            "complete."
        ),
        (
            "Also worth knowing: when many people ask at once, their waiting overlaps instead of "
            "queueing up."
        ),
        "By the way: a character that is cut in two by the network is still shown whole.",
        "And one more: after a dropped connection, what was already generated is not lost.",
    ),
    results="On “{quote}”, {count} tool result(s) came back:",
    after_results="The data is the tools' own; a real model would weave it into one answer.",
)
