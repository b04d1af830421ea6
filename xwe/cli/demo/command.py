"""`xwe demo`: the model server, then the three parts."""

import logging
import os
import sys
import time

import click

from xwe.cli.demo.batch import show_batch
from xwe.cli.demo.screen import Screen
from xwe.cli.demo.streams import show_streams
from xwe.cli.demo.texts import texts_for
from xwe.cli.demo.users import show_users
from xwe.core.nlp.client_policy import ClientPolicy
from xwe.core.nlp.llm_client import CHAT_COMPLETIONS, LLMClient
from xwe.core.nlp.observation import CallRecord
from xwe.settings.providers import PLACEHOLDER_KEY
from xwe.web.server.built_in_model import BuiltInModel

_SHORTEST_S, _LONGEST_S = 0.05, 2.0
_EXIT_INTERRUPTED = 130  # as a shell has it for Ctrl-C


@click.command("demo")
@click.option(
    "--latency",
    "latency_s",
    type=click.FloatRange(_SHORTEST_S, _LONGEST_S),
    default=0.8,
    show_default=True,
    help="Seconds that the model takes for an answer.",
)
def demo_command(latency_s: float) -> None:
    """Show in half a minute what xwe changes, with figures measured here and now.

    Needs no key and no network: it asks the built-in model server, on this machine.
    """
    screen, texts = Screen(sys.stdout, os.environ), texts_for(os.environ)
    model = BuiltInModel(logging.getLogger("xwe.demo"))
    began = time.monotonic()
    try:
        screen.say(texts["starting"])
        endpoint = model.start() + CHAT_COMPLETIONS
        screen.remark(texts["setting"].format(latency=latency_s))
        policy = ClientPolicy(observer=_ignore)
        with LLMClient(PLACEHOLDER_KEY, endpoint, transport="aiohttp", policy=policy) as client:
            show_users(screen, texts, client, latency_s)
            show_streams(screen, texts, client)
            show_batch(screen, texts, client)
        screen.say()
        screen.remark(texts["end"].format(seconds=time.monotonic() - began))
    except KeyboardInterrupt:
        screen.say("\n" + texts["interrupted"])
        sys.exit(_EXIT_INTERRUPTED)
    except RuntimeError as error:  # the model server did not start, or an app failed
        raise click.ClickException(str(error)) from error
    finally:
        model.stop()


def _ignore(_record: CallRecord) -> None:
    """The demo shows its one failure itself; a warning in the log would repeat it."""
