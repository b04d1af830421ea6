"""How gunicorn runs xwe: the one truth behind `xwe run` and config/gunicorn.conf.py.

The figures are gunicorn 27's, as tried; each says why it is what it is.
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

# Allocations before the youngest objects are looked through, and how many times that before the
# older ones are. A thousand streams are a million objects, hardly any of them in a circle: with
# Python's own 700 their first second is spent on looking. Measured: 15 to 20 % of a burst's CPU.
COLLECT_AFTER = (50_000, 20, 50)

# What the kernel keeps while the acceptor is busy; it takes less where somaxconn is lower.
BACKLOG = 4096

# After the drain, workers close their last connections and the master reaps them: together less
# than 5 s after the drain's end.
AFTER_DRAIN_S = 3

# A worker whose main thread does nothing for so long is stuck, and replaced. Requests do not
# count: they run in other threads.
STUCK_WORKER_S = 60

# Descriptors besides clients and model calls: files, logs, listeners, the loop's own.
OTHER_DESCRIPTORS = 256


def options_from_environment() -> dict[str, Any]:
    """The options for the environment and .env; a wrong value ends the process in one line.

    Raises:
        SystemExit: with status 2, after a line on standard error.
    """
    try:
        read_env_file()
        return gunicorn_options(load_settings())
    except SettingsError as error:
        _refuse_to_start(error.message)


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """The options for `settings`, its hooks included."""
    server = settings.server
    return {
        "bind": f"[{server.host}]:{server.port}"
        if ":" in server.host
        else f"{server.host}:{server.port}",
        "proc_name": "xwe",
        "worker_class": "xwe.web.server.gunicorn_worker.Worker",
        "workers": server.workers,
        "threads": server.threads,
        # Below this, gunicorn closes connections after their reply that could be kept.
        "worker_connections": worker_connections(server.threads),
        "backlog": BACKLOG,
        "keepalive": server.keepalive_s,
        "timeout": STUCK_WORKER_S,
        "graceful_timeout": math.ceil(server.drain_s) + AFTER_DRAIN_S,
        # Its default path is one for all instances of a machine.
        "control_socket_disable": True,
        # It would wait for a client that takes nothing without any timeout.
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
    """How many clients a worker may have: those being served, as many that wait, and idle ones."""
    return 2 * threads + 1000


def on_starting(server: Any) -> None:
    """Before anything is bound: say what is odd, make room for descriptors, find the model."""
    settings = load_settings()
    # On the master itself, as below; the workers are given it when they are forked.
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
    """Bring the tables to what this version needs, before any worker looks at them."""
    # Alembic takes a quarter of a second to import: not for `xwe config`.
    from xwe.storage.migrating import upgrade  # noqa: PLC0415

    try:
        upgrade(settings.storage.database_url)
    except XweError as error:
        _refuse_to_start(f"XWE_DATABASE_URL: {error.message}")


def when_ready(server: Any) -> None:
    """Everything is bound, no worker runs yet: refuse what is unsafe, else say where we are."""
    settings = load_settings()
    try:
        check_exposure(settings, bound_hosts(server.LISTENERS))
    except SettingsError as error:
        if server.pidfile is not None:
            server.pidfile.unlink()
        _refuse_to_start(error.message)
    announce(settings, [str(listener) for listener in server.LISTENERS])


def on_reload(server: Any) -> None:
    """A reload may have changed the addresses."""
    when_ready(server)


def on_exit(server: Any) -> None:
    """The workers have gone: end what was started for them."""
    model = getattr(server, "xwe_built_in_model", None)
    if model is not None:
        model.stop()
    snapshots = getattr(server, "xwe_snapshots", None)
    if snapshots is not None:
        snapshots.remove()


def post_fork(server: Any, worker: Any) -> None:
    """In a new worker: find it a core, and remember where the workers leave their figures."""
    worker.xwe_snapshots = server.xwe_snapshots
    if load_settings().server.keep_core:
        CoreKeeper(worker.age).start()


def post_worker_init(worker: Any) -> None:
    """In a worker that has loaded the application: observe it, and start what it looks after.

    Another's application is left alone.
    """
    # What is loaded by now stays: it need not be looked through again and again for garbage.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    services = getattr(worker.wsgi, "services", None)
    if isinstance(services, Services):
        services.observation.start(worker.xwe_snapshots)
        services.start()


def child_exit(server: Any, worker: Any) -> None:
    """In the master, for a worker that has gone: keep its totals."""
    try:
        server.xwe_snapshots.retire(worker.pid)
    except (OSError, ValueError) as error:  # its figures, not the server, are what is lost
        server.log.warning("The figures of worker %d are lost: %s", worker.pid, error)


def bound_hosts(listeners: Iterable[Any]) -> list[str]:
    """The hosts that listening sockets are bound to; a Unix socket has none."""
    names = [listener.getsockname() for listener in listeners]
    return [name[0] for name in names if isinstance(name, tuple)]


def _raise_descriptor_limit(server: Any, settings: Settings) -> None:
    # Every client and every model call holds one; many systems start a process with 1024.
    calls = settings.llm.max_inflight + OTHER_DESCRIPTORS
    needed = worker_connections(settings.server.threads) + calls
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        server.log.warning(
            "Only %d files may be open, %d would be needed: raise the limit (ulimit -n) "
            "or lower XWE_WEB_THREADS.",
            allowed,
            needed,
        )


def _start_built_in_model(server: Any) -> None:
    model = BuiltInModel(server.log)
    # On the master itself, since a reload makes new options and must find it again.
    server.xwe_built_in_model = model
    try:
        base_url = model.start()
    except RuntimeError as error:
        _refuse_to_start(str(error))
    # The workers are forked from this process, and a reload reads the same environment.
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
