"""The async stack that people would rewrite to: FastAPI with one AsyncOpenAI for all requests."""

import json
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

BASE_URL = os.environ["BENCH_ENDPOINT"].removesuffix("/chat/completions")

application = FastAPI()
client = AsyncOpenAI(base_url=BASE_URL, api_key="bench", max_retries=0)


class Question(BaseModel):
    message: str


@application.post("/chat")
async def chat(question: Question):
    reply = await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": question.message}]
    )
    return {"response": reply.choices[0].message.content}


@application.post("/stream")
async def stream(question: Question):
    return StreamingResponse(pieces(question.message), media_type="text/event-stream")


async def pieces(message: str) -> AsyncIterator[str]:
    chunks = await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": message}], stream=True
    )
    async for chunk in chunks:
        choice = chunk.choices[0]
        if choice.delta.content:
            yield f"data: {json.dumps({'delta': choice.delta.content})}\n\n"
        if choice.finish_reason:
            yield f"data: {json.dumps({'finish': choice.finish_reason})}\n\n"
    yield "data: [DONE]\n\n"
