"""Tools that run while the model goes on talking."""

from xwe.core.nlp.tools import events

__all__ = ["events"]
