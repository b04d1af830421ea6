"""Databases on the PostgreSQL of this machine, each of a random name and gone at the end."""

import contextlib
import os
import secrets

import psycopg
import pytest
from psycopg import sql

SERVER = os.environ.get("PGHOST", "127.0.0.1")
ADMIN = f"host={SERVER} port=5432 user=postgres dbname=postgres"

# What a test runs on, as a fixture's parameters.
SQLITE_AND_POSTGRESQL = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.service("postgresql")),
]


@contextlib.contextmanager
def new_database():
    """The address of an empty database."""
    name = f"xwe_test_{secrets.token_hex(6)}"
    _run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    # No test outlives the machine.
    _run(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
    try:
        yield f"postgresql://postgres@{SERVER}:5432/{name}"
    finally:
        _run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(statement):
    with psycopg.connect(ADMIN, autocommit=True) as connection:
        connection.execute(statement)
