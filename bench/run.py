"""Benchmarks xwe beside its peers in one run: `python bench/run.py [SECTION]`.

The whole of it takes about ten minutes and writes bench/RESULTS.md; a part of it, or --quick,
prints its tables and leaves that file alone. It needs Linux, and a machine with nothing else to
do: the report says how much of it others took. Absolute figures move with the machine; the ratios
of one run hold.
"""

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

from batch_table import batch_tables
from chats_table import chats_tables
from client_table import client_tables
from import_table import import_tables
from machine import Bystanders, core_of_the_harness, facts
from scale import QUICK, WHOLE, Scale
from stream_table import stream_tables
from tools_table import tools_tables
from turns_table import turns_tables
from web_table import web_tables

RESULTS = Path(__file__).parent / "RESULTS.md"
SECTIONS = {
    "client": client_tables,
    "web": web_tables,
    "chats": chats_tables,
    "streams": stream_tables,
    "tools": tools_tables,
    "turns": turns_tables,
    "import": import_tables,
    "batch": batch_tables,
}
FULL_PROMPTS = 100_000
# Each of 1,000 users costs a web server two descriptors.
OPEN_FILES = 8192

METHOD = """\
Made by `make bench`. The model server (`bench/upstream.py`) answers from memory with bytes \
encoded beforehand; it and the load generator (`bench/load.py`) share {core}, and what is \
measured may use every core. Each client row runs in a fresh process; the rows take turns, so \
that a disturbance hits all alike, and the median counts; every reply's text is checked, and that \
the model was asked once for it. The web servers run one after another, each freshly started and \
asked once before; a reply that is not a 200 counts as failed. CPU is \
user and system time of the process under test, its threads and children included, divided by \
the work done. Peers that have an event loop run on uvloop, as xwe does. A goal is the project's \
own; where it is missed, the table says so.

Others used {share:.0%} of the machine while this ran{verdict}."""
NOISY_SHARE = 0.05


def report(scale: Scale, sections: list[str]) -> str:
    bystanders = Bystanders()
    tables = []
    for section in sections:
        started = time.monotonic()
        tables += SECTIONS[section](scale)
        print(f"{section}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    share = bystanders.share()
    verdict = " (**too much: these figures are not to be quoted**)" if share > NOISY_SHARE else ""
    method = METHOD.format(core=core_of_the_harness(), share=share, verdict=verdict)
    lines = ["# Benchmarks", "", *(f"- {name}: {text}" for name, text in facts().items())]
    lines += [f"- scale: {scale.name}", "", method, ""]
    return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", nargs="?", default="all", choices=[*SECTIONS, "all"])
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="less of everything: under three minutes"
    )
    size.add_argument("--full", action="store_true", help="100,000 prompts in the batch")
    parser.add_argument("--output", type=Path, help="where to write the report")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.error("the benchmarks read /proc and bind processes to cores: Linux only")
    scale = QUICK if arguments.quick else WHOLE
    if arguments.full:
        scale = replace(scale, name="full", prompts=FULL_PROMPTS)
    _allow_open_files()
    everything = arguments.section == "all"
    text = report(scale, list(SECTIONS) if everything else [arguments.section])
    print(text)
    output = arguments.output or (RESULTS if everything and not arguments.quick else None)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        print(f"Written to {output}.")


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


if __name__ == "__main__":
    main()
