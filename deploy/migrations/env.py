"""Runs the revisions on the connection `deploy.migrate` hands over, inside its transaction."""

from alembic import context

from schemas.tables import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    transactional_ddl=True,
)
context.run_migrations()
