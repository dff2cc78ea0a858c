"""The password of a log's server: it opens the door, and stands nowhere else."""

from __future__ import annotations

import logging
import pickle
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hard_samples import HARD, model, parser, shunt, small_model
from langchain_core.load import dumps
from postgres_server import PostgresServer

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore, HardSampleStoreError, write_report
from langchain_datashunt.cli.main import main

PASSWORD = "Tr0ub4dor&3/pa:ss"  # noqa: S105  of a server that these tests start
WRONG = "0ther&w0rd"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.ask_for_password(PASSWORD)
    yield server
    server.remove()


def url(server: PostgresServer, password: str) -> str:
    return server.url.replace("tester@", f"tester:{quote(password, safe='')}@")


def as_parameter(server: PostgresServer, password: str) -> str:
    return f"{server.url}?password={quote(password, safe='')}"


def assert_hidden(text: str) -> None:
    for password in (PASSWORD, WRONG):
        for form in (password, quote(password), quote(password, safe=""), repr(password)[1:-1]):
            assert form not in text


class Command:
    """The command `datashunt` in this process, and what it prints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def printed(self, *arguments: str, store: str) -> tuple[bool, str]:
        """Return whether it succeeded, and all that it printed, its last words included."""
        self.monkeypatch.setenv("DATASHUNT_STORE", store)
        self.monkeypatch.setattr(sys, "argv", ["datashunt", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return ended.value.code == 0, f"{out}{err}{ended.value.code}"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch, capsys)


@pytest.mark.parametrize("form", [url, as_parameter])
def test_it_is_in_no_repr_log_dump_spool_or_report(
    server: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, form: object
) -> None:
    assert callable(form)
    caplog.set_level(logging.DEBUG)
    page = tmp_path / "report.html"
    with HardSampleStore(form(server, PASSWORD), spool=tmp_path / "spool.db") as store:
        handler = HardSampleCallbackHandler(store)
        chain = (shunt(small_model(), model()) | parser()).with_config(callbacks=[handler])
        chain.batch([f"{HARD} {i}" for i in range(5)])
        assert store.flush(20)  # so the password was right
        write_report(store, page)
        shown = [repr(each) for each in (store, store.health, handler, chain, store._engine, store._writer)]
        shown += [str(handler.__dict__), str(store.__dict__), dumps(chain)]
    assert_hidden("\n".join([*shown, caplog.text, page.read_text(encoding="utf-8")]))
    assert_hidden((tmp_path / "spool.db").read_bytes().decode("latin-1"))
    assert_hidden(" ".join(path.name for path in tmp_path.iterdir()))


@pytest.mark.parametrize("form", [url, as_parameter])
def test_a_refused_one_is_in_no_error_and_no_log(
    server: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, form: object
) -> None:
    assert callable(form)
    caplog.set_level(logging.DEBUG)
    with HardSampleStore(form(server, WRONG), spool=tmp_path / "spool.db") as store:
        chain = (shunt(small_model(), model()) | parser()).with_config(callbacks=[HardSampleCallbackHandler(store)])
        chain.invoke(HARD)
        with pytest.raises(HardSampleStoreError, match="password authentication failed") as raised:
            store.stats()
        deadline = time.monotonic() + 20
        while "keeps records in" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        store.close(timeout=0)  # nothing will ever be shipped
    assert "password authentication failed" in caplog.text
    assert_hidden("".join(traceback.format_exception(raised.value)) + caplog.text)
    assert_hidden(repr(pickle.dumps(str(raised.value))))


@pytest.mark.parametrize(
    "typo",
    [
        f"postgresql://tester:{PASSWORD}@127.0.0.1:5432/postgres",  # not percent-encoded
        f"postgresql://tester@127.0.0.1:{WRONG}/postgres",  # in the port's place
        f"postgresql:/tester:{WRONG}@127.0.0.1/postgres",
        f"postgres:tester:{WRONG}@127.0.0.1",
        f"postgresql://tester:{WRONG}@[::1/postgres",
        f"mysql://tester:{WRONG}@127.0.0.1/db",
    ],
)
def test_it_is_in_no_complaint_about_a_url(typo: str, tmp_path: Path, command: Command) -> None:
    try:
        HardSampleStore(typo, spool=tmp_path / "spool.db").close(timeout=0)
    except HardSampleStoreError as error:
        assert_hidden("".join(traceback.format_exception(error)).replace(typo, ""))  # the line of this test
        assert_hidden(str(error))
    succeeded, text = command.printed("samples", "stats", store=typo)
    assert not succeeded
    assert_hidden(text)


def test_it_is_in_nothing_that_the_command_prints(server: PostgresServer, tmp_path: Path, command: Command) -> None:
    for arguments in ("samples list", "samples stats", "report page.html", "samples list --help"):
        succeeded, text = command.printed(*arguments.split(), store=url(server, PASSWORD))
        assert succeeded, text
        assert_hidden(text)
    for arguments in ("samples list", "report page.html"):
        succeeded, text = command.printed(*arguments.split(), store=url(server, WRONG))
        assert not succeeded
        assert "password authentication failed" in text
        assert_hidden(text)
    assert_hidden("".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir()))
