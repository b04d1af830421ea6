"""What documents 003 and 004 do: FastAPI, with an AsyncOpenAI made for each request."""

import os

from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel

BASE_URL = os.environ["BENCH_ENDPOINT"].removesuffix("/chat/completions")

application = FastAPI()


class Question(BaseModel):
    message: str


@application.post("/chat")
async def chat(question: Question):
    client = AsyncOpenAI(base_url=BASE_URL, api_key="bench", max_retries=0)
    reply = await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": question.message}]
    )
    return {"response": reply.choices[0].message.content}
