"""Every variable that xwe reads: one table, from which everything said about them comes.

`.env.example`, `xwe config`, docs/settings.md and the one-line errors are made
from it, so none of them can be forgotten.
"""

from xwe.settings.model_variables import LLM_VARIABLES, PROVIDER_VARIABLES, STREAM_VARIABLES
from xwe.settings.parsing import (
    boolean,
    database_url,
    directory,
    host,
    log_level,
    one_of,
    positive_seconds,
    redis_url,
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
        "",
        "worker processes",
        derived="1, or one for each core when XWE_REDIS_URL is set",
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
        "XWE_INSTANCE_DIR",
        "server.instance_dir",
        directory,
        "instance",
        "where the server keeps what it makes itself: the secret key, the SQLite file",
        reserved=True,
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
        reserved=True,
    ),
    Variable(
        "XWE_SECRET_KEY",
        "access.secret_key",
        token,
        "",
        "signs sessions; the same for all processes of one site",
        derived="made once and kept in XWE_INSTANCE_DIR",
        secret=True,
        reserved=True,
    ),
)

_STORAGE = (
    Variable(
        "XWE_DATABASE_URL",
        "storage.database_url",
        database_url,
        "sqlite:///instance/xwe.db",
        "SQLite or PostgreSQL",
        secret=True,
        reserved=True,
    ),
    Variable(
        "XWE_REDIS_URL",
        "storage.redis_url",
        redis_url,
        "",
        "lets several processes share streams, cache and limits",
        derived="each process has its own",
        secret=True,
        reserved=True,
    ),
    Variable(
        "XWE_JOBS",
        "storage.jobs",
        one_of("in_process", "celery"),
        "in_process",
        "what runs background jobs",
        reserved=True,
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
    *PROVIDER_VARIABLES,
    *LLM_VARIABLES,
    *STREAM_VARIABLES,
    *_STORAGE,
    *_OBSERVATION,
)
