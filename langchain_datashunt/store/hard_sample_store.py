"""`HardSampleStore`: the hard-sample log, in a SQLite file or on a PostgreSQL server.

What a record loses before it is written stands in `privacy`, the tables in `migrations`, the two ways of writing in
`direct_writer` and `spooled_writer`, reading in `queries`, deleting in `erasure`, files in `exporting` and `importing`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store import erasure, estimates, exporting, importing, open_stores, queries
from langchain_datashunt.store.databases import Durability, location_of, postgresql_engine
from langchain_datashunt.store.direct_writer import DirectWriter
from langchain_datashunt.store.local_file import LocalFile
from langchain_datashunt.store.migrations import migrate
from langchain_datashunt.store.privacy import Privacy, Redaction
from langchain_datashunt.store.rows import Entry, entry_of, identified
from langchain_datashunt.store.spool import Spool
from langchain_datashunt.store.spooled_writer import SpooledWriter
from langchain_datashunt.store.tally import StoreHealth, Tally
from langchain_datashunt.types import HardSample

logger = logging.getLogger(__name__)

_IMPORTED_AT_ONCE = 500


class HardSampleStore:
    """Keeps hard samples, one record for each tenant, input, policy, prompt and teacher, counted.

    When `append` returns, the records are kept: they survive the death of the process, and with
    ``durability="full"`` the loss of power. A SQLite file is written directly. For a server, records go into a local
    SQLite file, the spool, and from there to the server by one background thread; each is counted exactly once, and the
    next start ships what a crash left behind. A server that is down holds up nobody.

    A complete record replaces an incomplete one of the same key; different labels for the same key are counted beside
    each other (`HardSample.answers`). Threads and forked processes may share a store.

    Args:
        url: A file (``"samples.db"``), or ``"postgresql://..."``.
        spool: The local file in front of a server; by default one in the current folder, named after the server.
            Processes on one machine may share it; it must be the same at every start.
        durability: ``"process"``, or ``"full"`` for one fsync a write.
        busy_timeout: Seconds that a write waits for another process's before the record is dropped.
        redact: Applied to every free text before it is hashed or written. Where it raises, nothing is written.
        store_input: False keeps neither inputs nor replies, only salted hashes, labels and numbers.
        salt: A secret for the hashes, the same at every start.

    Raises:
        HardSampleStoreError: The file cannot be opened, or the options do not go together. A server is not asked yet.
        MissingExtraError: psycopg is not installed.

    Example:
        .. code-block:: python

            store = HardSampleStore("samples.db")
            chain.invoke("...", config={"callbacks": [HardSampleCallbackHandler(store)]})
            for sample in store.iter_samples(trainable_only=True):
                print(sample.input, sample.target)
    """

    def __init__(
        self,
        url: str | Path = "hard-samples.db",
        *,
        spool: str | Path | None = None,
        durability: Durability = "process",
        busy_timeout: float = 5.0,
        redact: Redaction | None = None,
        store_input: bool = True,
        salt: str | None = None,
    ) -> None:
        """Open the log; see the class."""
        self._privacy = Privacy(redact, store_input, salt)
        self._tally = Tally()
        self._spool: Spool | None = None
        self._writer: DirectWriter | SpooledWriter
        location = location_of(url)
        if isinstance(location, Path):
            if spool is not None:
                raise HardSampleStoreError("a spool stands in front of a server; a SQLite file is written directly")
            file = LocalFile(location, durability=durability, busy_timeout=busy_timeout)
            self._engine = file.engine
            migrate(self._engine)
            self._migrated = True
            self._writer = DirectWriter(file)
        else:
            self._engine = postgresql_engine(location)
            self._migrated = False
            server = location.set(password=None, query={}).render_as_string()
            path = Path(spool or f"datashunt-spool-{hashlib.sha256(server.encode()).hexdigest()[:8]}.db").absolute()
            self._spool = Spool(LocalFile(path, durability=durability, busy_timeout=busy_timeout))
            self._writer = SpooledWriter(self._spool, self._engine)
        self._open = True
        open_stores.add(self)

    # ---- writing

    def append(self, samples: Sequence[HardSample]) -> tuple[str, ...]:
        """Keep records, all or none; return their ids.

        A record whose `parent_run_id` is the `run_id` of an earlier one is linked to it.

        Raises:
            HardSampleStoreError: They cannot be kept. They are counted as dropped, and reported by `stats` later.
        """
        counts = self._tally.take()
        try:
            identified_samples = self._identified(samples)
            self._writer.append([*(entry_of(sample) for sample in identified_samples), *counts])
        except HardSampleStoreError as error:
            self._lose(samples, counts, str(error))
            raise
        except Exception as error:  # a redaction's, say; its message may hold what was to be redacted
            self._lose(samples, counts, type(error).__name__)
            raise HardSampleStoreError(f"a record cannot be kept: {type(error).__name__}") from error
        self._tally.keep(len(samples))
        return tuple(sample.id for sample in identified_samples)

    def count_request(self, tenant: str, policy_id: str, route: str) -> None:
        """Count a request, whoever answered it. Counts are written with the next record or after a second."""
        if self._tally.count(tenant, policy_id, route):
            self.append([])

    def label(self, id: str, gold: str | None) -> None:  # noqa: A002  the word of the records
        """Set the true label of a record; None takes it back.

        Raises:
            HardSampleStoreError: There is no such record.
        """
        erasure.set_gold(self._ready_engine(), id, gold)

    # ---- reading

    def get(self, id: str) -> HardSample | None:  # noqa: A002  likewise
        """Return one record, or None."""
        return queries.get_sample(self._ready_engine(), id)

    def iter_samples(
        self,
        *,
        tenant: str | None = None,
        policy_id: str | None = None,
        route: str | None = None,
        tag: str | None = None,
        since: float | None = None,
        trainable_only: bool = False,
    ) -> Iterator[HardSample]:
        """Yield records in the order of their first arrival.

        Args:
            tenant: Only this tenant's.
            policy_id: Only of this policy.
            route: Only those that this route answered.
            tag: Only those with this tag.
            since: Only those last seen at or after this time, in seconds since 1970.
            trainable_only: Only those with a label to train on: a language model's, complete, validly read and no
                fallback; or a person's.
        """
        yield from queries.iter_samples(
            self._ready_engine(),
            tenant=tenant,
            policy_id=policy_id,
            route=route,
            tag=tag,
            since=since,
            trainable_only=trainable_only,
        )

    def nearest(self, confidence: float, *, limit: int = 10, tenant: str = "") -> list[HardSample]:
        """Return the records whose confidence is nearest to `confidence`, such as the threshold: label these first."""
        return queries.nearest_samples(self._ready_engine(), confidence, limit=limit, tenant=tenant)

    def stats(self, *, tenant: str | None = None) -> queries.StoreStats:
        """Return what the log holds, counted, and what it lost."""
        return queries.stats(self._ready_engine(), tenant=tenant)

    def estimate(
        self, *, policy_id: str, tenant: str | None = None, confidence_level: float = 0.95
    ) -> estimates.AuditEstimates:
        """Estimate disagreement with the LLM, and error, among the inputs that a policy accepts, from its audits.

        Args:
            policy_id: The policy; ``""`` for a shunt without one.
            tenant: Only this tenant's.
            confidence_level: Of each interval, in (0, 1).
        """
        return estimates.estimate(
            self._ready_engine(), policy_id=policy_id, tenant=tenant, confidence_level=confidence_level
        )

    def gold_audits(self, *, policy_id: str, tenant: str | None = None) -> list[estimates.GoldAudit]:
        """Return the audited inputs with a person's label; `ErrorMonitor` feeds a live bound with them.

        Args:
            policy_id: The policy; ``""`` for a shunt without one.
            tenant: Only this tenant's.
        """
        return estimates.gold_audits(self._ready_engine(), policy_id=policy_id, tenant=tenant)

    def large_answers(
        self, inputs: Sequence[Any], *, policy_id: str | None = None, tenant: str = "", teacher: str | None = None
    ) -> list[str | None]:
        """Return the language model's answer to each input, in their order: what `EndToEnd` takes.

        In shadow mode (``audit_rate=1.0``) the log holds one for every input that the chain has seen.

        Args:
            inputs: What the small model saw.
            policy_id: Only of this policy; by default of any.
            tenant: Of this tenant.
            teacher: Of this model, ``"provider/name"``; needed where several have answered.

        Returns:
            Labels, of several answers the most frequent one; None where the model failed or its reply names no label.

        Raises:
            HardSampleStoreError: The log lacks an input, or several models have answered.
        """
        hashes = [self.hash_input(each) for each in inputs]
        return queries.large_answers(self._ready_engine(), hashes, policy_id=policy_id, tenant=tenant, teacher=teacher)

    @property
    def health(self) -> StoreHealth:
        """What became of the records of this process."""
        return StoreHealth(self._tally.kept, self._tally.dropped, self._writer.pending())

    def hash_input(self, input: Any) -> str:  # noqa: A002  likewise
        """Return the hash under which the records of an input are found."""
        return self._privacy.hash(self._privacy.redacted(input))

    # ---- files

    def export(self, path: str | Path, *, format: exporting.ExportFormat | None = None, **filters: Any) -> int:  # noqa: A002  the usual word
        """Write records to a JSONL or Parquet file; return how many.

        Args:
            path: The file; it is replaced.
            format: By default what the file's ending says.
            **filters: Those of `iter_samples`.
        """
        return exporting.export(self.iter_samples(**filters), Path(path), format)

    def to_dataset(self, **filters: Any) -> Any:
        """Return records as a `datasets.Dataset` with the columns of the Parquet export; filtered as `iter_samples`."""
        return exporting.as_dataset(self.iter_samples(**filters))

    def import_jsonl(self, path: str | Path) -> int:
        """Add the records of a JSONL file: an export, or lines with ``input`` and ``gold`` or ``label``.

        Records that the log has already are left alone, so that importing twice changes nothing. Returns how many came.

        Raises:
            HardSampleStoreError: A line is malformed; the lines before it may have been added.
        """
        return self._import(importing.jsonl_samples(Path(path)))

    def import_chat_logs(
        self, path: str | Path, labels: Sequence[str], *, text_of: Callable[[str], str] | None = None
    ) -> int:
        """Add a record for each chat completion of a JSONL log, known ones excepted; return how many.

        Args:
            path: Lines with ``messages`` and ``choices`` (also under ``request`` and ``response``), or with the reply
                as the last message.
            labels: All labels.
            text_of: Takes the input out of the last user message; by default all of it is the input.

        Raises:
            HardSampleStoreError: A line is malformed; the lines before it may have been added.
        """
        return self._import(importing.chat_samples(Path(path), labels, text_of))

    # ---- deleting

    def prune(self, *, before: float, keep_gold: bool = True) -> int:
        """Delete records last seen before a time, in seconds since 1970; return how many.

        Args:
            before: The time; of a `datetime` its ``timestamp()``.
            keep_gold: Keep those with a person's label.

        Raises:
            HardSampleStoreError: `before` is no number.
        """
        return erasure.prune(self._ready_engine(), before, keep_gold=keep_gold)

    def erase(self, *, tag: str | None = None, input: Any = None, tenant: str | None = None) -> int:  # noqa: A002  likewise
        """Delete the records of a person, here and in this machine's spool; return how many.

        Args:
            tag: Those whose runs had this tag.
            input: Those of this input; with a salt, the salt must be the one that it was kept with.
            tenant: Only this tenant's.

        A record is of all inputs that were equal: where two persons sent the same text, it goes with either. Spools of
        other machines are to be shipped or erased there; copies of the log (exports, backups) are yours to erase.
        """
        wanted = erasure.Erasure(tag, None if input is None else self.hash_input(input), tenant)
        waiting = 0 if self._spool is None else self._spool.discard_if(wanted.matches)
        return waiting + erasure.erase(self._ready_engine(), wanted)

    # ---- opening and closing

    def flush(self, timeout: float = 10.0) -> bool:
        """Write the counts and wait until everything has reached the server; return whether it has."""
        self.append([])
        return self._writer.flush(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Flush for at most `timeout` seconds, and close. What is left in the spool is shipped by the next start."""
        if not self._open:
            return
        self._open = False
        open_stores.discard(self)
        try:
            self.append([])
        except HardSampleStoreError as error:
            logger.warning("The hard-sample log dropped %d records of this process: %s", self._tally.dropped, error)
        self._writer.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lose(self, samples: Sequence[HardSample], counts: Sequence[Entry], reason: str) -> None:
        self._tally.put_back(counts)
        if samples:
            self._tally.lose(len(samples), reason)

    def _import(self, samples: Iterator[HardSample]) -> int:
        added = 0
        while page := list(islice(samples, _IMPORTED_AT_ONCE)):
            identified_page = self._identified(page)
            known = queries.known_ids(self._ready_engine(), [sample.id for sample in identified_page])
            new = [given for given, kept in zip(page, identified_page, strict=True) if kept.id not in known]
            self.append(new)
            added += len(new)
        return added

    def _identified(self, samples: Sequence[HardSample]) -> list[HardSample]:
        ids: dict[str | None, str] = {}
        made: list[HardSample] = []
        for sample in samples:
            outer = ids.get(sample.parent_run_id, sample.parent_id)
            kept = identified(replace(self._privacy.applied(sample), parent_id=outer))
            if kept.run_id:
                ids[kept.run_id] = kept.id
            made.append(kept)
        return made

    def _ready_engine(self) -> Any:
        if not self._migrated:
            migrate(self._engine)
            self._migrated = True
        return self._engine

    def after_fork(self) -> None:
        """Start anew in a forked process (see `open_stores`)."""
        self._tally = Tally()
        self._writer.after_fork()
