"""Every variable that xwe reads: one table, from which everything said about them comes.

`.env.example`, `xwe config`, the table in docs/deployment.md and the one-line errors are made
from it, so none of them can be forgotten.
"""

from xwe.settings.parsing import (
    base_url,
    boolean,
    count,
    database_url,
    directory,
    host,
    log_level,
    one_of,
    positive_int,
    positive_seconds,
    redis_url,
    token,
    whole_number,
)
from xwe.settings.providers import PROVIDERS
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
        "XWE_INSTANCE_DIR",
        "server.instance_dir",
        directory,
        "instance",
        "where the server keeps what it makes itself: the secret key, the SQLite file",
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
    ),
)

_PROVIDER = (
    Variable(
        "LLM_PROVIDER",
        "provider.name",
        one_of(*PROVIDERS),
        "",
        "who serves the model",
        derived="the one whose key is set, custom when only LLM_BASE_URL is set, else mock",
    ),
    Variable(
        "LLM_BASE_URL",
        "provider.base_url",
        base_url,
        "",
        "where the model answers",
        derived="the provider's own",
    ),
    Variable(
        "LLM_API_KEY",
        "provider.api_key",
        token,
        "",
        "the key for the model",
        derived="the provider's own variable counts",
        secret=True,
    ),
    *(
        Variable(
            provider.key_variable,
            "provider.api_key",
            token,
            "",
            f"the key for {provider.name}",
            derived=f"{provider.name} is not chosen by itself",
            secret=True,
        )
        for provider in PROVIDERS.values()
        if provider.key_variable
    ),
    Variable(
        "LLM_MODEL",
        "provider.model",
        token,
        "",
        "the model's name",
        derived="the provider's default; for ollama and custom the first that the server lists",
    ),
    Variable(
        "LLM_JSON_MODE",
        "provider.json_mode",
        one_of("schema", "object", "none"),
        "",
        "how the model is held to JSON: by a schema, to any object, or only by being asked",
        derived="what the provider can do",
    ),
)

_LLM = (
    Variable(
        "LLM_TRANSPORT",
        "llm.transport",
        one_of("aiohttp", "requests", "openai"),
        "aiohttp",
        "what carries the calls; a bare LLMClient() takes requests unless this is set",
    ),
    Variable(
        "LLM_ASYNC_WORKERS",
        "llm.async_workers",
        positive_int,
        "5",
        "threads of the requests transport's pool",
    ),
    Variable(
        "LLM_ASYNC_QUEUE_SIZE",
        "llm.queue_size",
        count,
        "100",
        "calls that may wait for a place; the next is refused at once",
    ),
    Variable(
        "LLM_ASYNC_TIMEOUT",
        "llm.timeout_s",
        positive_seconds,
        "30",
        "a whole call that is not streamed, retries included",
        unit="seconds",
    ),
    Variable(
        "LLM_ASYNC_ENABLED",
        "llm.enabled",
        boolean,
        "true",
        "false answers everything in the calling thread: no loop, no pool",
    ),
    Variable(
        "LLM_MAX_INFLIGHT",
        "llm.max_inflight",
        positive_int,
        "",
        "calls that run at the same time, in each worker",
        derived="XWE_WEB_THREADS - LLM_ASYNC_QUEUE_SIZE - XWE_MAX_STREAMS - 16",
    ),
    Variable(
        "XWE_MAX_LLM_RETRIES",
        "llm.max_retries",
        whole_number(1, 20),
        "3",
        "attempts for a call in all, so that 1 means no retry",
    ),
    Variable(
        "LLM_CONNECT_TIMEOUT",
        "llm.connect_timeout_s",
        positive_seconds,
        "5",
        "until there is a connection",
        unit="seconds",
    ),
    Variable(
        "LLM_FIRST_TOKEN_TIMEOUT",
        "llm.first_token_timeout_s",
        positive_seconds,
        "30",
        "until a streamed answer begins",
        unit="seconds",
    ),
    Variable(
        "LLM_IDLE_TIMEOUT",
        "llm.idle_timeout_s",
        positive_seconds,
        "30",
        "between two pieces of a streamed answer",
        unit="seconds",
    ),
    Variable(
        "LLM_STREAM_TIMEOUT",
        "llm.stream_timeout_s",
        positive_seconds,
        "180",
        "a whole streamed call",
        unit="seconds",
    ),
    Variable(
        "LLM_RPM",
        "llm.rpm",
        positive_int,
        "",
        "calls a minute towards the provider, in each worker",
        derived="no limit",
    ),
    Variable(
        "LLM_TPM",
        "llm.tpm",
        whole_number(1, 100_000_000_000),
        "",
        "tokens a minute towards the provider, in each worker",
        derived="no limit",
    ),
    Variable(
        "LLM_BREAKER_FAILURES",
        "llm.breaker_failures",
        positive_int,
        "5",
        "failures in a row after which the provider is left alone",
    ),
    Variable(
        "LLM_BREAKER_RESET",
        "llm.breaker_reset_s",
        positive_seconds,
        "30",
        "how long it is left alone before one probe",
        unit="seconds",
    ),
    Variable(
        "LLM_CACHE_TTL",
        "llm.cache_ttl_s",
        positive_seconds,
        "",
        "how long an answer at temperature 0 is given again to the same question",
        unit="seconds",
        derived="no cache",
    ),
)

_STREAMS = (
    Variable(
        "XWE_STREAM_FLUSH_MS",
        "streams.flush_ms",
        whole_number(0, 1000),
        "30",
        "how long pieces may be gathered before they are sent on; the first never waits",
        unit="milliseconds",
    ),
    Variable(
        "XWE_STREAM_ON_DISCONNECT",
        "streams.on_disconnect",
        one_of("detach", "cancel"),
        "detach",
        "what happens to an answer whose reader has gone: it goes on, or is cancelled",
    ),
    Variable(
        "XWE_STREAM_KEEP",
        "streams.keep_s",
        positive_seconds,
        "300",
        "how long a finished answer can be read again by a reader that was cut off",
        unit="seconds",
    ),
    Variable(
        "XWE_STREAM_ALONE",
        "streams.alone_s",
        positive_seconds,
        "10",
        "how long an answer may be without a reader before XWE_STREAM_ON_DISCONNECT=cancel ends it",
        unit="seconds",
    ),
    Variable(
        "XWE_STREAM_HEARTBEAT",
        "streams.heartbeat_s",
        positive_seconds,
        "15",
        "a comment goes out after so long without an event, so that proxies keep the connection",
        unit="seconds",
    ),
    Variable(
        "XWE_MAX_STREAMS",
        "streams.max_open",
        count,
        "64",
        "threads kept for open streams that have no running call of their own",
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
        "ENABLE_PROMETHEUS", "observation.prometheus", boolean, "true", "whether to keep metrics"
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
    *_PROVIDER,
    *_LLM,
    *_STREAMS,
    *_STORAGE,
    *_OBSERVATION,
)
