"""The HTTP side: the only Flask in the house.

::

    application = create_app()
"""

from xwe.extras import importing

with importing("app"):
    from xwe.web.app import create_app

__all__ = ["create_app"]
