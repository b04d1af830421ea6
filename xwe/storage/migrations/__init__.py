"""The tables' history, for Alembic; `xwe.storage.migrating` runs it."""
