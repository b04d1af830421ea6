"""What Alembic runs for each command: on the connection that `migrating` has opened and locked."""

from alembic import context

from xwe.storage.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot change a column in place; a step that does so copies the table.
    render_as_batch=True,
)
context.run_migrations()
