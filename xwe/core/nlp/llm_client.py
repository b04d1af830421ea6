"""The client: the documents' methods, and whole, streamed and structured replies.

Every synchronous method has an `…_async` twin that does the same thing. The transport decides where
the work runs: `requests` in threads, the others on the resident loop; either twin reaches either
place in one hop. With LLM_ASYNC_ENABLED=false everything runs in the calling thread.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from xwe.core.concurrency.async_config import DEFAULT_TIMEOUT_S, AsyncConfig
from xwe.core.concurrency.executor import BoundedThreadPoolExecutor
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.completion import Completion, CompletionRequest, Message
from xwe.core.nlp.completion_stream import AsyncCompletionStream, CompletionStream
from xwe.core.nlp.dispatcher import BLOCKING_TRANSPORT, CallDispatcher
from xwe.core.nlp.observation import log_every_call
from xwe.core.nlp.structured import Schema, structured_dialogue
from xwe.core.nlp.transports import AsyncTransport, BlockingTransport
from xwe.errors import InvalidRequestError
from xwe.settings import client_environment
from xwe.settings.providers import PROVIDERS

CHAT_COMPLETIONS = "/chat/completions"
DEEPSEEK = PROVIDERS["deepseek"]

Conversation = str | Sequence[Message]
"""One user message, or a whole conversation, oldest message first."""


class CallOptions(TypedDict, total=False):
    """Options of a call; all are optional.

    Attributes:
        temperature: 0 to 2.
        max_tokens: the longest reply, in tokens.
        model: instead of the client's.
        tools: tool descriptions in the wire's shape.
        tool_choice: "auto", "none", "required" or the wire's object.
        response_format: the wire's object.
        extra: more fields of the request's body; they override the others.
        timeout_s: time limit of the whole call, in seconds, including retries and waiting.
    """

    temperature: float | None
    max_tokens: int | None
    model: str | None
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any] | None
    response_format: Mapping[str, Any] | None
    extra: Mapping[str, Any] | None
    timeout_s: float | None


class LLMClient:
    """A client for any provider that speaks the OpenAI protocol; thread-safe.

    Args:
        api_key: if None, DEEPSEEK_API_KEY.
        api_url: the full address of the chat completions; if None, below LLM_BASE_URL, or
            DeepSeek's.
        model_name: if None, LLM_MODEL, or DeepSeek's chat model.
        timeout: time limit of a whole call that is not streamed, in seconds. At its default,
            LLM_ASYNC_TIMEOUT applies instead.
        debug: log each call's timings (never its content).
        transport: "requests", "aiohttp", "openai", or an object with a transport's methods; if
            None, LLM_TRANSPORT, or "requests".
        policy: limits and retries beyond the documents' parameters.

    Raises:
        ValueError: there is no key.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_url: str | None = None,
        model_name: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        debug: bool = False,  # noqa: FBT001, FBT002 - the documents' signature
        *,
        transport: str | AsyncTransport | BlockingTransport | None = None,
        policy: ClientPolicy | None = None,
    ) -> None:
        environment = client_environment()
        key = api_key or environment.api_key
        if not key:
            raise ValueError(
                "No API key: set DEEPSEEK_API_KEY, or pass api_key=… (any text will do for a "
                "server that needs none)."
            )
        if policy is None:
            policy = ClientPolicy()
            if environment.max_retries is not None:
                retry = replace(policy.retry, max_attempts=environment.max_retries)
                policy = replace(policy, retry=retry)
        if debug:
            policy = replace(policy, observer=log_every_call)
        self.api_key = key
        self.api_url = api_url or (environment.base_url or DEEPSEEK.base_url) + CHAT_COMPLETIONS
        self.model_name = model_name or environment.model or DEEPSEEK.default_model
        self.timeout = timeout
        self.debug = debug
        self._policy = policy
        self._dispatcher = CallDispatcher(
            transport or environment.transport or BLOCKING_TRANSPORT, self.api_url, key, policy
        )

    @property
    def max_retries(self) -> int:
        """The number of attempts, including the first (XWE_MAX_LLM_RETRIES)."""
        return self._policy.retry.max_attempts

    @property
    def _executor(self) -> BoundedThreadPoolExecutor:
        # The documents' monitoring section reads it under this name.
        return self._dispatcher.executor

    # --- the documents' methods ---

    def chat(
        self,
        prompt: str,
        temperature: float = 0.0,
        max_tokens: int = 256,
        system_prompt: str | None = None,
    ) -> str:
        """The model's answer to `prompt`.

        Args:
            prompt: the user's message.
            temperature: 0 to 2.
            max_tokens: the longest reply, in tokens.
            system_prompt: how the model should behave.

        Raises:
            DeadlineExceededError: no answer within the timeout.
            ProviderError: the provider failed; see `xwe.errors`.
            ClosedError: (a RuntimeError) after `cleanup()`.
        """
        messages = _prompt_messages(prompt, system_prompt)
        return self.complete(messages, temperature=temperature, max_tokens=max_tokens).text

    async def chat_async(
        self,
        prompt: str,
        temperature: float = 0.0,
        max_tokens: int = 256,
        system_prompt: str | None = None,
    ) -> str:
        """The twin of `chat`; it calls a `chat` that was overridden or patched."""
        if self._is_replaced("chat"):
            given = {
                "temperature": (temperature, 0.0),
                "max_tokens": (max_tokens, 256),
                "system_prompt": (system_prompt, None),
            }
            return await self._call_replaced(self.chat, prompt, given)
        messages = _prompt_messages(prompt, system_prompt)
        completion = await self.complete_async(
            messages, temperature=temperature, max_tokens=max_tokens
        )
        return completion.text

    def chat_with_context(
        self, messages: list[Message], temperature: float = 0.7, max_tokens: int = 256
    ) -> str:
        """The model's next message in a conversation; raises as `chat` does."""
        return self.complete(messages, temperature=temperature, max_tokens=max_tokens).text

    async def chat_with_context_async(
        self, messages: list[Message], temperature: float = 0.7, max_tokens: int = 256
    ) -> str:
        """The twin of `chat_with_context`; it calls one that was overridden or patched."""
        if self._is_replaced("chat_with_context"):
            given = {"temperature": (temperature, 0.7), "max_tokens": (max_tokens, 256)}
            return await self._call_replaced(self.chat_with_context, messages, given)
        completion = await self.complete_async(
            messages, temperature=temperature, max_tokens=max_tokens
        )
        return completion.text

    def _is_replaced(self, method: str) -> bool:
        return method in self.__dict__ or getattr(type(self), method) is not _ORIGINALS[method]

    async def _call_replaced(
        self, method: Callable[..., Any], first: Any, given: Mapping[str, tuple[Any, Any]]
    ) -> str:
        # A replacement may take fewer parameters, so defaults are not passed.
        options = {name: value for name, (value, usual) in given.items() if value != usual}
        answer = await self._dispatcher.run_blocking(method, None, first, **options)
        text: str = await answer if inspect.isawaitable(answer) else answer
        return text

    # --- whole replies ---

    def complete(self, messages: Conversation, **options: Unpack[CallOptions]) -> Completion:
        """The whole reply: text, finish reason, usage, tool calls and timings.

        Args:
            messages: a user's message, or the conversation.
            **options: see `CallOptions`.

        Raises:
            SaturatedError: too many calls are running and waiting.
            DeadlineExceededError: no answer within the timeout.
            ProviderError: the provider failed.
            ClosedError: after `cleanup()`.
        """
        timeout_s = options.get("timeout_s") or self._timeout_s()
        return self._dispatcher.complete(self._request(messages, options), timeout_s)

    async def complete_async(
        self, messages: Conversation, **options: Unpack[CallOptions]
    ) -> Completion:
        """The twin of `complete`."""
        timeout_s = options.get("timeout_s") or self._timeout_s()
        return await self._dispatcher.complete_async(self._request(messages, options), timeout_s)

    # --- streamed replies ---

    def stream(self, messages: Conversation, **options: Unpack[CallOptions]) -> CompletionStream:
        """The reply as a stream of deltas; an iterator and a context manager.

        The request is made when the first delta is asked for. Closing the stream closes the
        request. Raises as `complete` does, and StreamInterruptedError after the first delta.
        """
        timeout_s = options.get("timeout_s") or self._policy.stream_timeout_s
        return self._dispatcher.stream(self._request(messages, options), timeout_s)

    def stream_async(
        self, messages: Conversation, **options: Unpack[CallOptions]
    ) -> AsyncCompletionStream:
        """The twin of `stream`."""
        timeout_s = options.get("timeout_s") or self._policy.stream_timeout_s
        return self._dispatcher.stream_async(self._request(messages, options), timeout_s)

    # --- structured replies ---

    def structured(
        self, messages: Conversation, schema: Schema, **options: Unpack[CallOptions]
    ) -> Any:
        """A JSON value that fits `schema`; the model may be asked once for a repair.

        Args:
            messages: a user's message, or the conversation.
            schema: JSON Schema (draft 2020-12).
            **options: see `CallOptions`; `response_format` is overwritten.

        Raises:
            InvalidRequestError: `schema` is not a JSON Schema.
            StructuredReplyError: the reply does not fit, even after the repair.
            XweError: as `complete` does.
        """
        dialogue = structured_dialogue(_conversation(messages), schema, self._policy.json_mode)
        asked, options["response_format"] = next(dialogue)
        while True:
            completion = self.complete(asked, **options)
            try:
                asked, options["response_format"] = dialogue.send(completion)
            except StopIteration as stop:
                return stop.value

    async def structured_async(
        self, messages: Conversation, schema: Schema, **options: Unpack[CallOptions]
    ) -> Any:
        """The twin of `structured`."""
        dialogue = structured_dialogue(_conversation(messages), schema, self._policy.json_mode)
        asked, options["response_format"] = next(dialogue)
        while True:
            completion = await self.complete_async(asked, **options)
            try:
                asked, options["response_format"] = dialogue.send(completion)
            except StopIteration as stop:
                return stop.value

    # --- the request ---

    def _timeout_s(self) -> float:
        return AsyncConfig.get_timeout() if self.timeout == DEFAULT_TIMEOUT_S else self.timeout

    def _request(self, messages: Conversation, options: CallOptions) -> CompletionRequest:
        policy = self._policy
        extra = options.get("extra")
        if policy.request_extra:
            extra = {**policy.request_extra, **(extra or {})}
        max_tokens = options.get("max_tokens")
        if max_tokens is not None and policy.reply_limit_field != "max_tokens":
            extra, max_tokens = {policy.reply_limit_field: max_tokens, **(extra or {})}, None
        return CompletionRequest(
            messages=_conversation(messages),
            model=options.get("model") or self.model_name,
            temperature=options.get("temperature"),
            max_tokens=max_tokens,
            tools=options.get("tools") or (),
            tool_choice=options.get("tool_choice"),
            response_format=options.get("response_format"),
            extra=extra or {},
        )

    # --- state and end ---

    def stats(self) -> dict[str, Any]:
        """The client's current state: transport, pool, slots, breaker and retries left."""
        return {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in self._dispatcher.stats().items()
        }

    def cleanup(self) -> None:
        """Release threads and connections. Idempotent; later calls raise RuntimeError."""
        self._dispatcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cleanup()


_ORIGINALS: Mapping[str, Callable[..., str | Awaitable[str]]] = {
    "chat": LLMClient.chat,
    "chat_with_context": LLMClient.chat_with_context,
}


def _prompt_messages(prompt: str, system_prompt: str | None) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": prompt}]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages


def _conversation(messages: Conversation) -> Sequence[Message]:
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not messages:
        raise InvalidRequestError("There is nothing to ask: the conversation is empty.")
    return messages


class DeepSeek:
    """The older client's interface: `chat` returns `{"text": …}`.

    Args:
        api_key: if None, DEEPSEEK_API_KEY.
        model: the provider's name for the model.
    """

    def __init__(self, api_key: str | None = None, model: str | None = None) -> None:
        self._client = LLMClient(api_key=api_key, model_name=model)

    def chat(self, prompt: str, **options: Any) -> dict[str, str]:
        """The answer as `{"text": …}`; raises as `LLMClient.chat` does."""
        return {"text": self._client.chat(prompt, **options)}

    async def chat_async(self, prompt: str, **options: Any) -> dict[str, str]:
        """The twin of `chat`."""
        return {"text": await self._client.chat_async(prompt, **options)}

    def cleanup(self) -> None:
        """Release threads and connections. Idempotent."""
        self._client.cleanup()
