"""How Alembic runs: on the connection it is given, inside that connection's one transaction."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=attributes.get("metadata"),
    render_item=attributes.get("render_item"),
    # DDL is part of the caller's transaction, at SQLite too: old schema or new, never half.
    transactional_ddl=True,
    # SQLite cannot alter a column in place; a batch copies the table.
    render_as_batch=attributes.get("batch", True),
)
context.run_migrations()
