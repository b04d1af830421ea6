"""The four variables that operators change while a process runs: read at every call."""

import os

from xwe.settings.parsing import boolean, positive_int, positive_seconds, whole_number

DEFAULT_WORKERS = 5
DEFAULT_QUEUE_SIZE = 100
DEFAULT_TIMEOUT_S = 30.0

_queue_size = whole_number(0, 1_000_000)


class AsyncConfig:
    """LLM_ASYNC_* as they are now; each method raises SettingsError for an invalid value."""

    @staticmethod
    def get_worker_count() -> int:
        """LLM_ASYNC_WORKERS: threads in the pool; default 5."""
        value = os.environ.get("LLM_ASYNC_WORKERS")
        return positive_int("LLM_ASYNC_WORKERS", value) if value else DEFAULT_WORKERS

    @staticmethod
    def get_queue_size() -> int:
        """LLM_ASYNC_QUEUE_SIZE: how many calls may wait; default 100."""
        value = os.environ.get("LLM_ASYNC_QUEUE_SIZE")
        return _queue_size("LLM_ASYNC_QUEUE_SIZE", value) if value else DEFAULT_QUEUE_SIZE

    @staticmethod
    def get_timeout() -> float:
        """LLM_ASYNC_TIMEOUT: limit of a whole call that is not streamed, in seconds; default 30."""
        value = os.environ.get("LLM_ASYNC_TIMEOUT")
        return positive_seconds("LLM_ASYNC_TIMEOUT", value) if value else DEFAULT_TIMEOUT_S

    @staticmethod
    def is_async_enabled() -> bool:
        """LLM_ASYNC_ENABLED: false is a kill switch; everything runs in the calling thread."""
        value = os.environ.get("LLM_ASYNC_ENABLED")
        return boolean("LLM_ASYNC_ENABLED", value) if value else True
