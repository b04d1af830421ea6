"""What an address may say where a rule has a variable.

Nothing has a name with a NUL in it, and PostgreSQL cannot even be asked for one: no rule matches.
"""

from werkzeug.datastructures import ImmutableDict
from werkzeug.routing import BaseConverter, Map


class _Segment(BaseConverter):
    regex = r"[^/\x00]+"
    part_isolating = True


class _Path(BaseConverter):
    regex = r"[^/\x00][^\n\x00]*?"
    part_isolating = False
    weight = 200  # after all that is more precise, as Werkzeug has it


class Addresses(Map):
    """The application's addresses."""

    default_converters = ImmutableDict(
        Map.default_converters | {"default": _Segment, "string": _Segment, "path": _Path}
    )
