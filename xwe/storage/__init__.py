"""What is kept: the only place that knows SQLAlchemy.

`Database` opens units of work, the repositories are functions that take one, and what they return
are the frozen values of `records`. Nothing of the library leaves this floor but inside a unit.
"""
