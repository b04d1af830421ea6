"""`xwe demo` as a process: its figures, its output, and a clean end."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from functools import partial
from pathlib import Path

import pytest

from xwe.cli.demo.screen import columns, padded, wrapped
from xwe.cli.demo.texts import read_texts, texts_for

DEMO = (sys.executable, "-m", "xwe.cli", "demo", "--latency", "0.2")
# Ten users take ten times this or once: a busy machine adds less than the difference.
LATENCY_S = 0.5
MEASURED = (*DEMO[:-1], str(LATENCY_S))
# Its streams last until they are interrupted.
LONG_DEMO = (
    sys.executable,
    "-c",
    """if True:
    from xwe.cli.commands import xwe_command
    from xwe.cli.demo import streams
    streams.BEHAVIOUR["length"] = 40_000
    xwe_command()""",
    "demo",
    "--latency",
)
SOON_S = 60.0
WHOLE_S = 120.0


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        kept.pop(name, None)
    return kept | {"LANG": "en_US.UTF-8", "PYTHONUTF8": "1", "TERM": "xterm"} | changes


class Terminal:
    """A pseudo terminal that runs the demo."""

    def __init__(self, size=(30, 90), command=DEMO, **changes):
        self.written = ""
        # A read may end in the middle of a character.
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**changes),
            start_new_session=True,
            # A shell's background job ignores SIGINT, and its children inherit that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call of the kernel
        )
        os.close(slave)

    def read_until(self, awaited):
        """Read until `awaited` has been written; None for the end."""
        give_up_at = time.monotonic() + SOON_S
        while awaited is None or awaited not in self.written:
            readable, _, _ = select.select([self._master], [], [], give_up_at - time.monotonic())
            assert readable, f"nothing came:\n{self.written}"
            try:
                data = os.read(self._master, 65536)
            except OSError:  # a terminal's end of file
                data = b""
            if not data:
                assert awaited is None, self.written
                return
            self.written += self._decoder.decode(data)

    def lines(self):
        """What the screen shows in the end, without colours."""
        shown, at = [""], 0
        for token in re.findall(r"\x1b\[[\d;]*[A-Za-z]|\n|[^\x1b\r\n]+", self.written):
            if token == "\n":
                at += 1
                shown.extend([""] * (at + 1 - len(shown)))
            elif token.endswith("A") and token.startswith("\x1b"):
                at -= int(token[2:-1])
            elif token == "\x1b[2K":
                shown[at] = ""
            elif not token.startswith("\x1b"):
                shown[at] += token
        return shown

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def open_terminal():
    terminals = []

    def start(**options):
        terminals.append(Terminal(**options))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


def children_of(pid):
    """The processes that `pid` has started."""
    children = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread has ended
            children += map(int, task.read_text().split())
    return children


def is_alive(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def seconds_of(label, output):
    (line,) = [line for line in output.splitlines() if line.strip().startswith(label)]
    return float(line.split()[-2])


@pytest.fixture(scope="module")
def piped():
    """Its output into a pipe."""
    done = subprocess.run(
        MEASURED, env=environment(), capture_output=True, text=True, timeout=WHOLE_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_into_a_pipe_it_writes_each_line_once_and_no_escape_codes(piped):
    assert "\x1b" not in piped
    assert "\r" not in piped
    assert piped.count("AsyncBridge(app)") == 1


def test_ten_users_at_once_are_faster_than_one_after_another_by_the_measured_figures(piped):
    alone, in_turn = seconds_of("one user", piped), seconds_of("blocking", piped)
    at_once = max(seconds_of("@async_route", piped), seconds_of("AsyncBridge", piped))
    assert alone >= LATENCY_S
    assert in_turn >= 10 * LATENCY_S  # one thread cannot do it faster
    assert at_once < in_turn
    # The two are rounded separately from the same figure.
    said = float(re.search(r"([\d.]+) s one after another", piped)[1])
    assert said == pytest.approx(in_turn, abs=0.0551)


def test_two_streams_take_turns(piped):
    # One after the other would be one turn; on a busy machine many pieces come together.
    assert int(re.search(r"took turns (\d+) times", piped)[1]) > 2


def test_one_item_of_the_batch_fails_in_its_own_place(piped):
    assert piped.count("✓") == 5
    (failed,) = [line for line in piped.splitlines() if "✗" in line]
    assert failed.split()[1:3] == ["Atlantis", "ProviderRejectedError:"]
    assert "5 answers and 1 error" in piped


def test_on_a_terminal_the_lines_grow_in_place(open_terminal):
    terminal = open_terminal(LANG="zh_CN.UTF-8")
    terminal.read_until(None)
    assert terminal.process.wait() == 0
    shown = terminal.lines()
    assert terminal.written.count("AsyncBridge(app)") > 20  # redrawn
    assert sum("AsyncBridge(app)" in line for line in shown) == 1
    assert max(columns(line) for line in shown) < 90
    assert any(line.startswith("A  什么是事件循环？  ") and "B  线程" in line for line in shown)
    assert "\x1b[36m" in terminal.written


def test_no_color_leaves_the_colours_out_of_a_terminal(open_terminal):
    terminal = open_terminal(size=(20, 60), NO_COLOR="1")
    terminal.read_until("each in its")
    assert not re.search(r"\x1b\[[\d;]*m", terminal.written)
    assert [line for line in terminal.lines() if columns(line) >= 60] == []


@pytest.mark.parametrize(
    ("moment", "latency_s"), [("blocking view", 2), ("B  ", 0.2)], ids=["users", "streams"]
)
def test_ctrl_c_ends_it_at_once_and_the_model_server_with_it(open_terminal, moment, latency_s):
    # Small, so that unread output does not fill the terminal's buffer.
    terminal = open_terminal(size=(6, 60), command=(*LONG_DEMO, str(latency_s)))
    terminal.read_until(moment)
    children = children_of(terminal.process.pid)
    assert children
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until(None)
    assert terminal.process.wait() == 130
    assert terminal.lines()[-2:] == ["Stopped.", ""]
    assert "Traceback" not in terminal.written
    assert not any(map(is_alive, children))


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "C"}, "en"),
    ],
)
def test_the_locale_chooses_the_language(environ, language):
    assert texts_for(environ) == read_texts(language)


def test_both_languages_have_the_same_texts():
    english, chinese = read_texts("en"), read_texts("zh")
    assert english.keys() == chinese.keys()
    for name, text in english.items():
        fields = [sorted(re.findall(r"{(\w+)", str(each))) for each in (text, chinese[name])]
        assert fields[0] == fields[1], name


def test_text_is_broken_at_spaces_and_within_chinese_never_before_a_stop():
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("你好，世界。再见", 6) == ["你好，", "世界。", "再见"]
    assert wrapped("a\n\nb", 5) == ["a", "", "b"]
    assert padded("你好", 5) == "你好 "
    assert padded("你好", 3) == "你 "
