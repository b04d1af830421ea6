"""Use cases in plain Python: what the application does, without HTTP, SQL or a broker."""
