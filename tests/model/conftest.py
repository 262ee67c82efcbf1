"""What the model runs on: one database with its triggers, emptied for each example."""

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

TRANSITIONS = Path(__file__).with_name("transitions.sql")


@pytest.fixture
def database_url(postgres_host: str, database_name: str) -> str:
    """A database whose time and triggers are the model's."""
    url = f"postgresql:///{database_name}?host={postgres_host}&user=postgres"
    session = psycopg2.connect(url)
    with session, session.cursor() as cursor:
        cursor.execute(TRANSITIONS.read_text(encoding="utf-8"))
        cursor.execute(f"ALTER DATABASE {database_name} SET search_path = model, pg_catalog, public")
    session.close()
    return url


@pytest.fixture
def session(database_url: str) -> Iterator[connection]:
    """The one connection of all actors."""
    session = psycopg2.connect(database_url)
    yield session
    session.close()
