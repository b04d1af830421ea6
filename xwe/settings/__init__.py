"""The sole reader of the environment (but for `AsyncConfig`, which is live by definition)."""
