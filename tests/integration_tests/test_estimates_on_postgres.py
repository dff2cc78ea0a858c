"""What is read from a log on a real PostgreSQL server is what is read from a file."""

from __future__ import annotations

from pathlib import Path

from hard_samples import sample
from postgres_server import PostgresServer

from langchain_datashunt import HardSampleStore


def fill(store: HardSampleStore) -> None:
    audited = {"route": "audit", "small_label": "positive"}
    samples = [
        sample(str(i), **audited, sampling_probability=0.5 if i % 2 else 0.1, label="negative" if i < 9 else "positive")
        for i in range(60)
    ]
    ids = store.append([*samples, samples[0], sample("deferred")])
    assert store.flush(60)
    for id_ in ids[:30]:
        store.label(id_, "positive")


def test_estimates_are_the_same_on_a_server_and_in_a_file(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        with (
            HardSampleStore(server.url, spool=tmp_path / "spool.db") as remote,
            HardSampleStore(tmp_path / "samples.db") as local,
        ):
            for store in (remote, local):
                fill(store)
            found = remote.estimate(policy_id="policy")
            assert found == local.estimate(policy_id="policy")
            assert (found.disagreement.audits, found.disagreement.misses, found.error.misses) == (61, 10, 0)
            audits = set(remote.gold_audits(policy_id="policy"))  # records of one shipment arrive in any order
            assert audits == set(local.gold_audits(policy_id="policy"))
            assert sum(audit.seen for audit in audits) == 31
            texts = [str(i) for i in range(60)]
            assert remote.large_answers(texts) == local.large_answers(texts) == ["negative"] * 9 + ["positive"] * 51
    finally:
        server.remove()
