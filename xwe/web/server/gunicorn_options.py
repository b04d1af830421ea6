"""gunicorn's options and hooks for xwe, used by `xwe run` and config/gunicorn.conf.py.

The values were tried with gunicorn 27; comments give the reason for each.
"""

import gc
import math
import os
import resource
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from xwe.bootstrap import Services
from xwe.errors import SettingsError, XweError
from xwe.observability.worker_snapshots import SnapshotDirectory
from xwe.settings import Settings, check_exposure, environment_warnings, load_settings
from xwe.settings.env_file import read_env_file
from xwe.settings.providers import UNNAMED_MODEL
from xwe.web.server.announcement import announce
from xwe.web.server.built_in_model import BuiltInModel
from xwe.web.server.core_keeper import CoreKeeper
from xwe.web.server.gunicorn_logger import ACCESS_FORMAT
from xwe.web.server.model_discovery import first_listed_model

EXIT_UNUSABLE_SETTINGS = 2

# Thresholds of the garbage collector. A thousand streams make a million objects, hardly any of
# them in a cycle. With Python's default of 700, collecting took 15 to 20 % of a burst's CPU.
COLLECT_AFTER = (50_000, 20, 50)

# Connections that the kernel queues while the acceptor is busy; somaxconn may cap it.
BACKLOG = 4096

# After the drain, workers close their last connections and the master reaps them. Both together
# take less than 5 s.
AFTER_DRAIN_S = 3

# A worker whose main thread is silent for this long is stuck and gets replaced. Requests do not
# matter here: they run in other threads.
STUCK_WORKER_S = 60

# Descriptors besides clients and model calls: files, logs, listeners, the event loop's own.
OTHER_DESCRIPTORS = 256


def options_from_environment() -> dict[str, Any]:
    """The options for the environment and .env; an unusable value exits with one line.

    Raises:
        SystemExit: with status 2, after a line on standard error.
    """
    try:
        read_env_file()
        return gunicorn_options(load_settings())
    except SettingsError as error:
        _refuse_to_start(error.message)


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """The options for `settings`, including the hooks."""
    server = settings.server
    return {
        "bind": f"[{server.host}]:{server.port}"
        if ":" in server.host
        else f"{server.host}:{server.port}",
        "proc_name": "xwe",
        "worker_class": "xwe.web.server.gunicorn_worker.Worker",
        "workers": server.workers,
        "threads": server.threads,
        # Below this, gunicorn closes connections that could be kept alive.
        "worker_connections": worker_connections(server.threads),
        "backlog": BACKLOG,
        "keepalive": server.keepalive_s,
        "timeout": STUCK_WORKER_S,
        "graceful_timeout": math.ceil(server.drain_s) + AFTER_DRAIN_S,
        # Its default path is shared by all instances on a machine.
        "control_socket_disable": True,
        # It would wait forever for a client that stops reading.
        "sendfile": False,
        "logger_class": "xwe.web.server.gunicorn_logger.Logger",
        "accesslog": "-" if server.access_log else None,
        "access_log_format": ACCESS_FORMAT,
        "loglevel": settings.observation.log_level.lower(),
        "on_starting": on_starting,
        "when_ready": when_ready,
        "on_reload": on_reload,
        "on_exit": on_exit,
        "post_fork": post_fork,
        "post_worker_init": post_worker_init,
        "child_exit": child_exit,
    }


def worker_connections(threads: int) -> int:
    """The connections a worker may have: those being served, as many waiting, and idle ones."""
    return 2 * threads + 1000


def on_starting(server: Any) -> None:
    """Before anything is bound: log warnings, raise the descriptor limit, find the model."""
    settings = load_settings()
    # On the master itself, as below; `post_fork` hands it to the workers.
    server.xwe_snapshots = SnapshotDirectory.create(server.cfg.uid, server.cfg.gid)
    for line in environment_warnings():
        server.log.warning(line)
    _raise_descriptor_limit(server, settings)
    _upgrade_database(settings)
    if settings.provider.is_demo:
        if "LLM_BASE_URL" not in settings.given:
            _start_built_in_model(server)
    elif settings.provider.model == UNNAMED_MODEL and "LLM_MODEL" not in settings.given:
        _choose_model(server, settings)


def _upgrade_database(settings: Settings) -> None:
    """Upgrade the tables to this version before any worker uses them."""
    # Importing Alembic takes a quarter of a second, which `xwe config` need not spend.
    from xwe.storage.migrating import upgrade  # noqa: PLC0415

    try:
        upgrade(settings.storage.database_url)
    except XweError as error:
        _refuse_to_start(f"XWE_DATABASE_URL: {error.message}")


def when_ready(server: Any) -> None:
    """Once bound, before any worker runs: refuse unsafe settings, else announce the addresses."""
    settings = load_settings()
    try:
        check_exposure(settings, bound_hosts(server.LISTENERS))
    except SettingsError as error:
        if server.pidfile is not None:
            server.pidfile.unlink()
        _refuse_to_start(error.message)
    announce(settings, [str(listener) for listener in server.LISTENERS])


def on_reload(server: Any) -> None:
    """Check and announce again: a reload may have changed the addresses."""
    when_ready(server)


def on_exit(server: Any) -> None:
    """After the workers: stop what was started for them."""
    model = getattr(server, "xwe_built_in_model", None)
    if model is not None:
        model.stop()
    snapshots = getattr(server, "xwe_snapshots", None)
    if snapshots is not None:
        snapshots.remove()


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker: pick a core, and pass on the directory of snapshots."""
    worker.xwe_snapshots = server.xwe_snapshots
    if load_settings().server.keep_core:
        CoreKeeper(worker.age).start()


def post_worker_init(worker: Any) -> None:
    """In a worker that has loaded the application: start its observation and background work.

    Another application than xwe's is left alone.
    """
    # What is loaded by now stays, so the garbage collector need not scan it again and again.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    services = getattr(worker.wsgi, "services", None)
    if isinstance(services, Services):
        services.observation.start(worker.xwe_snapshots)
        services.start()


def child_exit(server: Any, worker: Any) -> None:
    """In the master, after a worker has exited: keep its totals."""
    try:
        server.xwe_snapshots.retire(worker.pid)
    except (OSError, ValueError) as error:  # only its figures are lost, not the server
        server.log.warning("The figures of worker %d are lost: %s", worker.pid, error)


def bound_hosts(listeners: Iterable[Any]) -> list[str]:
    """The hosts that the listening sockets are bound to; a Unix socket has none."""
    names = [listener.getsockname() for listener in listeners]
    return [name[0] for name in names if isinstance(name, tuple)]


def _raise_descriptor_limit(server: Any, settings: Settings) -> None:
    # Each client and each model call needs one, and the usual limit is 1024.
    calls = settings.llm.max_inflight + OTHER_DESCRIPTORS
    needed = worker_connections(settings.server.threads) + calls
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        server.log.warning(
            "Only %d files may be open, but %d are needed. Raise the limit (ulimit -n) "
            "or lower XWE_WEB_THREADS.",
            allowed,
            needed,
        )


def _start_built_in_model(server: Any) -> None:
    model = BuiltInModel(server.log)
    # On the master itself: a reload builds new options and must find it again.
    server.xwe_built_in_model = model
    try:
        base_url = model.start()
    except RuntimeError as error:
        _refuse_to_start(str(error))
    # The workers are forked from this process, and a reload reads this environment.
    os.environ.update(LLM_PROVIDER="mock", LLM_BASE_URL=base_url)


def _choose_model(server: Any, settings: Settings) -> None:
    provider = settings.provider
    name = first_listed_model(provider.base_url, provider.api_key)
    if name is None:
        server.log.warning(
            "%s lists no models: asking for %r. Set LLM_MODEL to the one you mean.",
            provider.base_url,
            provider.model,
        )
    else:
        os.environ["LLM_MODEL"] = name


def _refuse_to_start(message: str) -> NoReturn:
    sys.stderr.write(f"xwe: {message}\n")
    raise SystemExit(EXIT_UNUSABLE_SETTINGS)
