"""The async stack that people would rewrite to: FastAPI with one AsyncOpenAI for all requests."""

import os

from fastapi import FastAPI
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
