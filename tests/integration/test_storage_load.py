"""Many processes and threads that write at once: nothing is lost, and nobody is told "locked".

STORAGE_WRITES=500 pytest tests/integration/test_storage_load.py -k sqlite --timeout 300 is the
long form.
"""

import contextlib
import os
import subprocess
import sys

import pytest
from postgresql import SQLITE_AND_POSTGRESQL, new_database

from xwe.storage.database import Database
from xwe.storage.migrating import upgrade
from xwe.storage.repositories import characters, conversations, messages, users

PROCESSES = 4
THREADS = 8
WRITES = int(os.environ.get("STORAGE_WRITES", "25"))

# What each process does; one conversation for all of them makes every write meet every other.
WRITER = """
import sys, threading
from xwe.storage.database import Database
from xwe.storage.repositories import messages

url, conversation_id, threads, writes, process = sys.argv[1], *map(int, sys.argv[2:])
database = Database(url, timeout_s=120)
failures = []

def write(thread):
    try:
        for number in range(writes):
            with database.write() as writing:
                messages.append(
                    writing, conversation_id, sender_type="user",
                    content="x" * 200, client_id=f"{process}/{thread}/{number}",
                )
    except Exception as error:
        failures.append(error)

sys.stdin.readline()
running = [threading.Thread(target=write, args=(thread,)) for thread in range(threads)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
database.close()
sys.exit(repr(failures) if failures else 0)
"""


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def url(request, tmp_path):
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            address = f"sqlite:///{tmp_path}/xwe.db"
        else:
            address = stack.enter_context(new_database())
        upgrade(address)
        yield address


def start_writer(url, conversation_id, process):
    numbers = map(str, (conversation_id, THREADS, WRITES, process))
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, *numbers],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_writers_lose_nothing(url):
    with contextlib.closing(Database(url)) as database:
        with database.write() as writing:
            ada = users.create(writing, username="ada", password_hash="hash")
            poet = characters.create(writing, user_id=ada.id, name="李白")
            chat = conversations.for_character(writing, ada.id, poet.id)
        writers = [start_writer(url, chat.id, process) for process in range(PROCESSES)]
        for writer in writers:
            writer.stdin.write("\n")
            writer.stdin.flush()
        for writer in writers:
            _, errors = writer.communicate()
            assert writer.returncode == 0, errors
        expected = PROCESSES * THREADS * WRITES
        with database.read() as reading:
            found = messages.after_seq(reading, chat.id, 0, limit=expected + 1)
    assert [message.seq for message in found] == list(range(1, expected + 1))
    assert len({message.client_id for message in found}) == expected
