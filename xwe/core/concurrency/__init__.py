"""Threads and the event loop, brought together. Nothing here knows of language models."""
