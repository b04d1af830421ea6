"""What went over the wire, as text that is the same in every run: the fixtures of `recorded/`.

Ids and row numbers become names in the order in which they appear, so that it stays visible which
are the same; times become `<t>`. Nothing else is changed.
"""

import difflib
import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "recorded"

_ID = re.compile(
    r'"(?:messageId|generation_id|stream)":"([\w-]{22})"|^id: ([\w-]{22}):', re.MULTILINE
)
_CALL = re.compile(r'"(?:toolCallId|callId)":"(call_\w{8,})"')
_ROW = re.compile(r'("(?:message_id|user_message_id|variant_of|id|task_id|character_id)":)(\d+)\b')
_TIME = re.compile(
    r'("(?:queue|ttft|upstream|overhead|total|firstGrounded|at|elapsed_sec|seconds|duration'
    r'|savedTokens|wastedTokens)":)[\d.]+'
)
_PORT = re.compile(r"(127\.0\.0\.1:)\d+")
_DATE = re.compile(r'("(?:created_at|updated_at)":)"[^"]*"')


class Transcript:
    """Collects what is said; `check` compares it with the fixture of that name.

    `RECORD_STREAMS=1` writes the fixture anew instead.
    """

    def __init__(self, name):
        self._path = FOLDER / f"{name}.txt"
        self._lines = []

    def say(self, title, text):
        """A part: a title, and the text as it came."""
        self._lines += [f"== {title}", text.rstrip("\n"), ""]

    def masked(self):
        """All of it, with names in place of what differs from run to run."""
        text = "\n".join(self._lines)
        answers = dict.fromkeys(found[1] or found[2] for found in _ID.finditer(text))
        for name, found in (("answer", answers), ("call", dict.fromkeys(_CALL.findall(text)))):
            for number, each in enumerate(found, 1):
                text = text.replace(each, f"<{name} {number}>")
        rows = {}
        text = _ROW.sub(lambda m: f"{m[1]}<row {rows.setdefault(m[2], len(rows) + 1)}>", text)
        text = _PORT.sub(r"\1<port>", text)
        return _DATE.sub(r'\1"<date>"', _TIME.sub(r"\1<t>", text))

    def check(self):
        """Fail with what differs."""
        masked = self.masked()
        if os.environ.get("RECORD_STREAMS"):
            self._path.parent.mkdir(exist_ok=True)
            self._path.write_text(masked, "utf-8")
            return
        recorded = self._path.read_text("utf-8")
        diff = difflib.unified_diff(
            recorded.splitlines(), masked.splitlines(), "recorded", "now", lineterm=""
        )
        assert masked == recorded, "\n".join(diff)
