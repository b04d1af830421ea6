"""gunicorn's log lines in the same format as all others."""

from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from xwe.observability.logs import configure_logging, line_formatter
from xwe.settings import load_settings

# No query and no referrer: they may contain a prompt.
ACCESS_FORMAT = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)s ms'


class Logger(GunicornLogger):  # type: ignore[misc] # gunicorn carries no types
    """gunicorn's logger, unless gunicorn's own log options are used."""

    def setup(self, cfg: Any) -> None:
        """Set our format on gunicorn's handlers, and configure all other logging."""
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        settings = load_settings()
        configure_logging(settings)
        formatter = line_formatter(settings)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(formatter)
