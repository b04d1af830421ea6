"""gunicorn for operators: `gunicorn -c config/gunicorn.conf.py wsgi:application`.

Everything is set by environment variables (.env.example); gunicorn's own command line wins over
this file. What the options are, and why, is in xwe/web/gunicorn_options.py. To change one that
has no variable, set its name below the last line.
"""

from xwe.web.gunicorn_options import options_from_environment

globals().update(options_from_environment())
