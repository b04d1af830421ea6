"""The WSGI application, for `gunicorn -c config/gunicorn.conf.py wsgi:application`."""

from xwe.settings.env_file import read_env_file
from xwe.web import create_app

read_env_file()
application = create_app()
