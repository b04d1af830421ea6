"""`xwe mock`: the model server as a process of its own."""

import asyncio
import os
import signal
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from xwe.errors import InvalidRequestError
from xwe.mock.behaviour import (
    Behaviour,
    Fault,
    FinishReason,
    LineEnd,
    ToolArguments,
    ToolCallOrder,
    ToolCallShape,
)

if TYPE_CHECKING:
    from xwe.mock.server import ModelServer

DEFAULT_PORT: Final = 8001
# Where the system cannot report the parent's death, it is checked this often.
_CHECK_EVERY_S: Final = 1.0

# The options that are fields of Behaviour: name, field, type, help.
_OPTIONS: Final[list[tuple[str, str, Any, str]]] = [
    ("--latency", "latency_s", float, "Seconds until the reply, or its first token."),
    (
        "--tokens-per-second",
        "tokens_per_s",
        float,
        "Pace of a stream; as fast as possible by default.",
    ),
    ("--length", "length", int, "Length of a reply, in tokens."),
    ("--seed", "seed", int, "Varies the replies; the same seed gives the same reply."),
    ("--text", "text", str, "Reply with this text."),
    ("--reasoning", "reasoning", str, "Text to send as reasoning_content first."),
    ("--tool-arguments", "tool_arguments", ToolArguments, "How a call's arguments are streamed."),
    ("--tool-call-shape", "tool_call_shape", ToolCallShape, "What a streamed call leaves out."),
    ("--tool-call-order", "tool_call_order", ToolCallOrder, "How several calls are streamed."),
    ("--text-after", "text_after", str, "Say this after the tool calls."),
    ("--cut-after", "cut_after", int, "Cut each reply after so many tokens."),
    (
        "--tokens-to-end",
        "tokens_to_end",
        int,
        "Tokens' time from a paced stream's last token to its end.",
    ),
    ("--finish-reason", "finish_reason", FinishReason, "Instead of the true one."),
    ("--fault", "fault", Fault, "Fail like this, with every request."),
    ("--after-pieces", "after_pieces", int, "Pieces of the reply before the fault."),
    ("--interval", "interval_s", float, "Seconds between the bytes of a drip."),
    ("--size", "size_bytes", int, "Bytes of a huge body or line."),
    ("--broken-text", "broken_text", str, "What malformed_json, html and wrong_type send."),
    ("--status", "status", int, "Status of the fault status."),
    (
        "--error-code",
        "error_code",
        str,
        "Code of the error object, for instance insufficient_quota.",
    ),
    ("--retry-after", "retry_after_s", float, "Seconds, in the Retry-After header."),
    ("--write-bytes", "write_bytes", int, "Cut a stream into writes of so many bytes."),
    ("--events-per-write", "events_per_write", int, "Stream events in one write."),
    ("--line-end", "line_end", LineEnd, "How the stream's lines end."),
    ("--comment-every", "comment_every", int, "Send a comment before every n-th stream event."),
]
_DEFAULTS: Final = {field.name: field.default for field in fields(Behaviour)}


def _behaviour_options(command: Any) -> Any:
    for flag, name, kind, text in reversed(_OPTIONS):
        default = _DEFAULTS[name]
        command = click.option(
            flag,
            name,
            type=kind if isinstance(kind, type) else click.Choice(get_args(kind)),
            default=default,
            show_default=default is not None,
            help=text,
        )(command)
    return command


@click.command("mock")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 is any free one.",
)
@click.option("--api-key", help="Key that clients must send; by default none is needed.")
@click.option("--parent-pid", type=int, help="End when the process with this id has ended.")
@_behaviour_options
def mock_command(
    host: str, port: int, api_key: str | None, parent_pid: int | None, **options: Any
) -> None:
    """Run the built-in model server, which speaks the OpenAI protocol.

    It answers with templates and says so. A "mock" object in a request's JSON body changes the
    behaviour for that request, with the same names: {"mock": {"latency_s": 1, "fault": "stall"}}.
    """
    try:
        behaviour = Behaviour(**options)
    except InvalidRequestError as error:
        flag = next(flag for flag, name, *_ in _OPTIONS if name == error.field)
        raise click.BadParameter(error.message, param_hint=flag) from None
    from xwe.mock.server import ModelServer  # noqa: PLC0415 - `--help` needs no web server

    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        try:
            runner.run(_serve(ModelServer(behaviour, api_key=api_key), host, port, parent_pid))
        except OSError as error:
            raise click.ClickException(f"Cannot listen on {host}:{port}: {error}") from None


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - only the server needs it, not `xwe --help`
    except ImportError:  # not built for this platform: asyncio's own loop serves
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(server: "ModelServer", host: str, port: int, parent_pid: int | None) -> None:
    """Serve until a signal comes or the parent has ended."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, ended.set)
    from xwe.mock.server import base_url  # noqa: PLC0415 - as above

    port = await server.start(host, port)
    try:
        click.echo(f"xwe mock listens on {base_url(host, port)}")
        if parent_pid is not None:
            parent = asyncio.create_task(_parent_ended(parent_pid))
            parent.add_done_callback(lambda _: ended.set())
        await ended.wait()
    finally:
        await server.stop()


async def _parent_ended(pid: int) -> None:
    """Return when the process has ended."""
    if not hasattr(os, "pidfd_open"):
        while _is_alive(pid):  # noqa: ASYNC110 - nothing here reports it
            await asyncio.sleep(_CHECK_EVERY_S)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
