"""Opening SQLite files and PostgreSQL servers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from langchain_datashunt.errors import HardSampleStoreError, MissingExtraError

Durability = Literal["process", "full"]
"""What a record that was kept survives: the death of the process, or power loss too (one fsync a write)."""

_SYNCHRONOUS = {"process": "NORMAL", "full": "FULL"}
_CONNECT_TIMEOUT = 5
"""Seconds; only background threads and offline readers wait for a server."""


def location_of(url: str | Path) -> Path | URL:
    """Return the path of a SQLite file, or the URL of a PostgreSQL server.

    Raises:
        HardSampleStoreError: It is neither.
    """
    if isinstance(url, Path) or ("://" not in url and not url.startswith(("postgres:", "postgresql:"))):
        return _checked_path(str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # which quote parts of it, and with them the password
        raise HardSampleStoreError(
            "a store is a file or a URL like postgresql://user:password@host:5432/database, its parts percent-encoded; "
            "this URL cannot be read (it is not shown, since it may hold a password)"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _checked_path(parsed.database or "")
    if backend in ("postgresql", "postgres"):
        return _with_hidden_password(parsed.set(drivername="postgresql+psycopg"))
    raise HardSampleStoreError(f"a store is a SQLite file or a postgresql:// URL; got the database {backend!r}")


def _with_hidden_password(url: URL) -> URL:
    """Return a URL that shows no password: one among its parameters is moved to where SQLAlchemy hides it."""
    if "password" not in url.query:
        return url
    given = url.query["password"]
    password = given if isinstance(given, str) else given[-1]
    return url.difference_update_query(["password"]).set(password=password)


def _checked_path(path: str) -> Path:
    if path in ("", ":memory:"):
        raise HardSampleStoreError("a store is a file, so that it outlives its process; name one, as in 'samples.db'")
    return Path(path).expanduser().absolute()


def sqlite_engine(path: Path, *, durability: Durability = "process", busy_timeout: float = 5.0) -> Engine:
    """Return an engine whose transactions on the file may write, and exclude other writers from their start.

    Args:
        path: The file; it is made where there is none, its folder is not.
        durability: What a committed transaction survives.
        busy_timeout: Seconds that a transaction waits for another process's.

    Raises:
        HardSampleStoreError: `durability` is unknown, or the folder does not exist.
    """
    if durability not in get_args(Durability):
        raise HardSampleStoreError(f"durability is one of {list(get_args(Durability))}; got {durability!r}")
    if not path.parent.is_dir():
        raise HardSampleStoreError(f"there is no folder {str(path.parent)!r} for the hard-sample log {path.name!r}")
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_timeout, "check_same_thread": False},
        hide_parameters=True,  # in errors: they are private
    )

    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own
        cursor = connection.cursor()
        mode = _write_ahead(cursor, busy_timeout)
        cursor.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
        cursor.execute("PRAGMA secure_delete = ON")  # what is erased or shipped is overwritten, not only unlinked
        cursor.close()
        if mode != "wal":
            raise HardSampleStoreError(
                f"the file system of {str(path)!r} does not support SQLite's write-ahead log (got {mode!r}); "
                "put the log on a local disk"
            )

    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("datashunt_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _write_ahead(cursor: sqlite3.Cursor, patience: float) -> str:
    """Switch the file to the write-ahead log; SQLite does not wait by itself where two processes switch at once."""
    deadline = time.monotonic() + patience
    while True:
        try:
            mode: str = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return mode


def postgresql_engine(url: URL) -> Engine:
    """Return an engine on a PostgreSQL server; nothing is connected yet.

    Raises:
        MissingExtraError: psycopg is not installed.
    """
    try:
        return create_engine(
            url, pool_pre_ping=True, hide_parameters=True, connect_args={"connect_timeout": _CONNECT_TIMEOUT}
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise MissingExtraError("a hard-sample log on PostgreSQL", "postgres") from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that only reads, and so holds up no writer.

    Raises:
        HardSampleStoreError: The database refuses.
    """
    with _own_errors("read"), engine.execution_options(datashunt_reads=True).begin() as connection:
        yield connection


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that may write.

    Raises:
        HardSampleStoreError: The database refuses; nothing of the transaction is kept.
    """
    with _own_errors("changed"), engine.begin() as connection:
        yield connection


@contextmanager
def _own_errors(what: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error  # without the statement, whose values are private
        raise HardSampleStoreError(f"the hard-sample log cannot be {what}: {reason}") from error


def forget_changes(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which still holds what was deleted; PostgreSQL sees to that itself."""
    if engine.dialect.name == "sqlite":
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            raw.close()
