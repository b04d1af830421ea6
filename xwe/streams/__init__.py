"""Answers that are read while they are made: by readers who join, leave and join again."""
