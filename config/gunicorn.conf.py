"""gunicorn for operators: `gunicorn -c config/gunicorn.conf.py wsgi:application`.

Environment variables (.env.example) set everything; gunicorn's own command line wins over this
file. xwe/web/server/gunicorn_options.py has the options and the reason for each. To change one
that has no variable, assign to its name below the last line.
"""

from xwe.extras import missing_extra_exits

with missing_extra_exits():
    from xwe.web.server.gunicorn_options import options_from_environment

globals().update(options_from_environment())
