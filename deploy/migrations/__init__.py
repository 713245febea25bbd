"""Alembic's folder: env.py runs the revisions of versions/, whose statements lie in sql/."""
