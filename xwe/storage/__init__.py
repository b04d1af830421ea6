"""The database, and the only place that knows SQLAlchemy.

`Database` opens units of work, the repositories are functions that take one, and what they return
are the frozen values of `records`. Only a unit carries anything of the library out of this floor.
"""
