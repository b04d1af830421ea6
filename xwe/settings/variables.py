"""All variables that xwe reads, in one table.

`.env.example`, `xwe config`, docs/settings.md and the one-line errors are made from it.
"""

from xwe.settings.model_variables import LLM_VARIABLES, PROVIDER_VARIABLES, STREAM_VARIABLES
from xwe.settings.parsing import (
    boolean,
    database_url,
    directory,
    host,
    import_paths,
    log_level,
    one_of,
    positive_seconds,
    token,
    whole_number,
)
from xwe.settings.variable import Variable

_SERVER = (
    Variable("HOST", "server.host", host, "127.0.0.1", "where the server listens"),
    Variable(
        "PORT", "server.port", whole_number(0, 65535), "8000", "TCP port; 0 takes any free one"
    ),
    Variable(
        "XWE_WEB_WORKERS",
        "server.workers",
        whole_number(1, 256),
        "1",
        "worker processes; each has its own limits and answers in memory",
    ),
    Variable(
        "XWE_WEB_THREADS",
        "server.threads",
        whole_number(1, 20_000),
        "1200",
        "request threads of each worker, made as they are needed; an open request holds one",
    ),
    Variable(
        "XWE_KEEP_CORE",
        "server.keep_core",
        boolean,
        "true",
        "keep each worker's threads together on one core, moving when it is busy with others "
        "(Linux): a quarter less CPU a request",
    ),
    Variable(
        "XWE_DRAIN_TIMEOUT",
        "server.drain_s",
        positive_seconds,
        "20",
        "how long running work may take after SIGTERM; the process is gone 5 s later at most",
        unit="seconds",
    ),
    Variable(
        "XWE_MAX_BODY",
        "server.max_body_bytes",
        whole_number(1024, 1_000_000_000),
        "2097152",
        "the largest request body that is read",
        unit="bytes",
    ),
    Variable(
        "XWE_KEEPALIVE",
        "server.keepalive_s",
        whole_number(0, 3600),
        "30",
        "how long an idle connection stays open; 0 closes after each reply",
        unit="seconds",
    ),
    Variable(
        "XWE_SEND_TIMEOUT",
        "server.send_timeout_s",
        positive_seconds,
        "20",
        "a client that takes none of its reply for so long is cut off",
        unit="seconds",
    ),
    Variable(
        "XWE_TRUSTED_PROXIES",
        "server.trusted_proxies",
        whole_number(0, 16),
        "0",
        "how many proxies every request passes before it is here; so many entries of "
        "X-Forwarded-For are believed, counted from its end",
    ),
    Variable(
        "XWE_ACCESS_LOG", "server.access_log", boolean, "false", "one log line for each request"
    ),
)

_ACCESS = (
    Variable(
        "XWE_ACCESS",
        "access.mode",
        one_of("open", "login"),
        "",
        "whether the model may be used without a login or a token",
        derived="open with the built-in model server, login with a real one",
    ),
    Variable(
        "XWE_API_TOKEN",
        "access.api_token",
        token,
        "",
        "the bearer token that lets programs in",
        derived="no program gets in by a token",
        secret=True,
    ),
    Variable(
        "XWE_SIGNUP",
        "access.signup",
        one_of("open", "closed"),
        "",
        "whether people may make accounts themselves",
        derived="open with the built-in model server, closed with a real one",
    ),
    Variable(
        "XWE_REGISTRATIONS_PER_HOUR",
        "access.registrations_per_hour",
        whole_number(0, 1_000_000),
        "20",
        "how often an hour somebody may try to make an account from one address, in each worker; "
        "0 is as often as they like",
    ),
)

_AGENT = (
    Variable(
        "XWE_TOOLS",
        "agent.tools",
        import_paths,
        "",
        "tools of your own that the model may call: a tool, a list of them or a ToolRegistry",
        derived="the built-in ones only",
    ),
    Variable(
        "XWE_TURN_TIMEOUT",
        "agent.turn_timeout_s",
        positive_seconds,
        "120",
        "a turn with tools as a whole",
        unit="seconds",
    ),
    Variable(
        "XWE_TOOL_THREADS",
        "agent.tool_threads",
        whole_number(1, 10_000),
        "256",
        "synchronous tools that run at once in each worker; threads are made as needed",
    ),
)

_USERS = (
    Variable(
        "XWE_USER_RPM",
        "users.requests_per_minute",
        whole_number(1, 1_000_000),
        "",
        "how often a minute each user may ask the model, in each worker",
        derived="as often as they like with the built-in model server, 60 with a real one",
    ),
    Variable(
        "XWE_USER_STREAMS",
        "users.running_streams",
        whole_number(1, 10_000),
        "3",
        "answers that are streamed to each user at once, in each worker",
    ),
    Variable(
        "XWE_USER_JOBS",
        "users.jobs",
        whole_number(1, 10_000),
        "5",
        "background jobs of each user that wait or run",
    ),
    Variable(
        "XWE_USER_CHARACTERS",
        "users.characters",
        whole_number(1, 1_000_000),
        "200",
        "characters that each user may have",
    ),
    Variable(
        "XWE_USER_PROMPT_BYTES",
        "users.prompt_bytes",
        whole_number(1024, 1_000_000_000),
        "1048576",
        "the largest request body with which a user may ask the model",
        unit="bytes",
    ),
)

_STORAGE = (
    Variable(
        "XWE_DATABASE_URL",
        "storage.database_url",
        database_url,
        "sqlite:///instance/xwe.db",
        "SQLite or PostgreSQL (pip install 'xwe[postgres]'); `xwe db upgrade` makes the tables",
        secret=True,
    ),
    Variable(
        "XWE_DATABASE_POOL_SIZE",
        "storage.database_pool_size",
        whole_number(1, 1000),
        "20",
        "connections to the database of each worker, at most",
    ),
    Variable(
        "XWE_DATABASE_TIMEOUT_S",
        "storage.database_timeout_s",
        positive_seconds,
        "5",
        "how long anything waits for the database (a connection, a lock, a statement) before the "
        "request is refused",
        unit="seconds",
    ),
    Variable(
        "XWE_KEEP_DELETED_DAYS",
        "storage.keep_deleted_days",
        whole_number(1, 36_500),
        "30",
        "how long a deleted character can be had back, and ended jobs are listed",
        unit="days",
    ),
)

_CHATS = (
    Variable(
        "XWE_CHAT_LEASE",
        "chats.lease_s",
        positive_seconds,
        "30",
        "an answer whose process is silent for so long is ended by another",
        unit="seconds",
    ),
    Variable(
        "XWE_CHAT_SNAPSHOT",
        "chats.snapshot_s",
        positive_seconds,
        "1",
        "how often the text of running answers is stored: what a crash may lose",
        unit="seconds",
    ),
    Variable(
        "XWE_CHAT_REAP",
        "chats.reap_s",
        positive_seconds,
        "10",
        "how often each worker looks for answers whose process has died",
        unit="seconds",
    ),
    Variable(
        "XWE_CHAT_HISTORY_TOKENS",
        "chats.history_tokens",
        whole_number(100, 10_000_000),
        "6000",
        "how much of what was said goes to the model with each question, the newest first",
        unit="tokens",
    ),
)

_CHARACTERS = (
    Variable(
        "XWE_PROMPTS_DIR",
        "characters.prompts_dir",
        directory,
        "",
        "prompts of your own for making characters, such as zh/category.md; each replaces the one "
        "of that name in xwe/services/characters/prompts",
        derived="our own prompts",
    ),
)

_JOBS = (
    Variable(
        "XWE_JOB_WORKERS",
        "jobs.workers",
        whole_number(1, 256),
        "8",
        "jobs that run at once in each process",
    ),
    Variable(
        "XWE_JOB_LEASE",
        "jobs.lease_s",
        positive_seconds,
        "30",
        "a job whose process gives no sign of life for so long is taken up by another",
        unit="seconds",
    ),
)

_OBSERVATION = (
    Variable(
        "ENABLE_PROMETHEUS",
        "observation.prometheus",
        boolean,
        "true",
        "whether to keep metrics",
    ),
    Variable("LOG_LEVEL", "observation.log_level", log_level, "INFO", "the least that is logged"),
    Variable(
        "LOG_FORMAT",
        "observation.log_format",
        one_of("json", "text"),
        "json",
        "one JSON object a line, or plain lines",
    ),
)

VARIABLES: tuple[Variable, ...] = (
    *_SERVER,
    *_ACCESS,
    *_USERS,
    *PROVIDER_VARIABLES,
    *LLM_VARIABLES,
    *STREAM_VARIABLES,
    *_AGENT,
    *_STORAGE,
    *_CHATS,
    *_CHARACTERS,
    *_JOBS,
    *_OBSERVATION,
)
