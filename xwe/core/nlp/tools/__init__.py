"""Tools that run while the model goes on talking."""
