"""The four variables that operators turn while a process runs: read at every call, never cached."""

import os

from xwe.settings.parsing import boolean, positive_int, positive_seconds, whole_number

DEFAULT_WORKERS = 5
DEFAULT_QUEUE_SIZE = 100
DEFAULT_TIMEOUT_S = 30.0

_queue_size = whole_number(0, 1_000_000)


class AsyncConfig:
    """The live view of LLM_ASYNC_*; each method raises SettingsError on a value it cannot use."""

    @staticmethod
    def get_worker_count() -> int:
        """LLM_ASYNC_WORKERS: threads of the pool; 5 unless set."""
        value = os.environ.get("LLM_ASYNC_WORKERS")
        return positive_int("LLM_ASYNC_WORKERS", value) if value else DEFAULT_WORKERS

    @staticmethod
    def get_queue_size() -> int:
        """LLM_ASYNC_QUEUE_SIZE: how many calls may wait; 100 unless set."""
        value = os.environ.get("LLM_ASYNC_QUEUE_SIZE")
        return _queue_size("LLM_ASYNC_QUEUE_SIZE", value) if value else DEFAULT_QUEUE_SIZE

    @staticmethod
    def get_timeout() -> float:
        """LLM_ASYNC_TIMEOUT: a whole call that is not streamed, in seconds; 30 unless set."""
        value = os.environ.get("LLM_ASYNC_TIMEOUT")
        return positive_seconds("LLM_ASYNC_TIMEOUT", value) if value else DEFAULT_TIMEOUT_S

    @staticmethod
    def is_async_enabled() -> bool:
        """LLM_ASYNC_ENABLED: false is a kill switch, everything runs in the calling thread."""
        value = os.environ.get("LLM_ASYNC_ENABLED")
        return boolean("LLM_ASYNC_ENABLED", value) if value else True
