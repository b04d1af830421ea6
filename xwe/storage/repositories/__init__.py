"""The repositories: one module a noun, functions that take an open unit of work.

What is somebody's is asked for with that somebody's id, and what is not theirs is not there.
"""
