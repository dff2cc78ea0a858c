"""A report on 100,000 records: how long it takes, how large the page is, and what memory it needs."""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import pytest
from hard_samples import sample

from langchain_datashunt import HardSampleStore, Prices, write_report

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(3600)]

N = 100_000
AT_ONCE = 2_000


def test_a_report_on_many_records_stays_small(tmp_path: Path) -> None:
    rng = random.Random(0)  # noqa: S311  no secrets
    with HardSampleStore(tmp_path / "samples.db") as store:
        for first in range(0, N, AT_ONCE):
            samples = []
            for i in range(first, first + AT_ONCE):
                audit = i % 10 == 0
                fields = {"route": "audit", "reason": "accepted", "sampling_probability": 0.05} if audit else {}
                confidence = rng.uniform(0.8, 1) if audit else rng.uniform(0.5, 0.8)
                label = "negative" if rng.random() > confidence else "positive"
                gold = label if rng.random() < 0.05 else None
                text = f"text {i} " + "word " * rng.randint(5, 60)
                used = {"input_tokens": len(text) // 4, "output_tokens": 1, "latency_ms": 300.0}
                samples.append(sample(text, confidence=confidence, label=label, gold=gold, **fields, **used))
            store.append(samples)
            for _ in range(AT_ONCE):
                store.count_request("", "policy", rng.choice(["small", "small", "large"]))
        store.flush()
        path = tmp_path / "report.html"
        started, worked = time.perf_counter(), time.process_time()
        write_report(store, path, prices=Prices(input=0.25, output=2.0))
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
        tracemalloc.start()
        write_report(store, path, prices=Prices(input=0.25, output=2.0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    size = path.stat().st_size
    print(
        f"\n{N} records: {seconds:.1f} s, {worked:.1f} s of one core; page of {size / 1000:.0f} kB; "
        f"{peak / 1e6:.0f} MB of Python objects at the peak"
    )
    assert seconds < 120
    assert size < 500_000
    assert peak < 300e6
