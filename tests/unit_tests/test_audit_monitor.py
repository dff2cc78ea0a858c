from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hard_samples import EASY, model, parser, sample, shunt, small_model

from langchain_datashunt import HardSampleCallbackHandler, HardSampleStore
from langchain_datashunt.bounds.live_bound import Alarm, LiveBound
from langchain_datashunt.callbacks.audit_monitor import AuditMonitor
from langchain_datashunt.errors import AuditError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store


def live(rate: float = 1.0) -> LiveBound:
    return LiveBound("disagreement", 0.05, lowest_audit_rate=rate)


def chain_and_config(monitor: AuditMonitor, answers: Any) -> tuple[Any, dict[str, Any]]:
    chain = shunt(small_model(), model(answers), audit_rate=1.0) | parser()
    return chain, {"callbacks": [HardSampleCallbackHandler(monitor)]}


def test_audits_of_a_chain_reach_the_bound_and_the_log(store: HardSampleStore) -> None:
    monitor = AuditMonitor(store, live(), policy_id="")
    chain, config = chain_and_config(monitor, "positive")
    chain.batch([f"{EASY} {i}" for i in range(20)] + ["what is this"], config)
    assert monitor.bound.audits == 20  # the deferred one is none
    assert monitor.bound.estimate == 0.0
    assert len(list(store.iter_samples())) == 21


def test_an_llm_that_disagrees_sets_the_alarm_off_once(
    store: HardSampleStore, caplog: pytest.LogCaptureFixture
) -> None:
    alarms: list[Alarm] = []
    monitor = AuditMonitor(store, live(), policy_id="", on_alarm=alarms.append)
    chain, config = chain_and_config(monitor, "negative")
    with caplog.at_level(logging.ERROR, logger="langchain_datashunt.callbacks.audit_monitor"):
        chain.batch([f"{EASY} {i}" for i in range(30)], config)
    assert len(alarms) == 1
    assert alarms[0].lower >= 0.05
    assert [record.getMessage() for record in caplog.records] == [str(alarms[0])]


def test_other_policies_unread_answers_and_other_routes_are_not_added(store: HardSampleStore) -> None:
    monitor = AuditMonitor(store, live(0.02), policy_id="policy")
    given = {"route": "audit", "reason": "accepted", "sampling_probability": 0.02}
    monitor.append(
        [
            sample("deferred"),
            sample("other policy", **{**given, "policy_id": "other"}),
            sample("unread", **given, label=None),
            sample("a small model", **{**given, "teacher_kind": "small"}),
            sample("counts", **given),
        ]
    )
    assert monitor.bound.audits == 1
    assert len(list(store.iter_samples())) == 5


def test_an_audit_rate_below_the_lowest_is_reported_and_the_record_kept(
    store: HardSampleStore, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = AuditMonitor(store, live(0.5), policy_id="policy")
    monitor.append([sample("rare", route="audit", sampling_probability=0.1)])
    assert "lowest_audit_rate=0.5" in caplog.text
    assert monitor.bound.audits == 0
    assert len(list(store.iter_samples())) == 1


def test_an_alarm_that_raises_does_not_lose_the_record(store: HardSampleStore) -> None:
    def fail(alarm: Alarm) -> None:
        raise RuntimeError("the pager is down")

    monitor = AuditMonitor(store, live(0.02), policy_id="policy", on_alarm=fail)
    bad = [sample(str(i), route="audit", sampling_probability=0.02) for i in range(30)]
    with pytest.raises(RuntimeError, match="pager"):
        monitor.append(bad)
    assert len(list(store.iter_samples())) == 30
    assert monitor.bound.alarm is not None


def test_the_file_is_written_at_an_alarm_and_by_close(store: HardSampleStore, tmp_path: Path) -> None:
    path = tmp_path / "bound.json"
    monitor = AuditMonitor(store, live(0.02), policy_id="policy", path=path)
    monitor.append([sample(str(i), route="audit", sampling_probability=0.02) for i in range(30)])
    assert LiveBound.load(path).alarm == monitor.bound.alarm is not None
    monitor.append([sample("one more", route="audit", sampling_probability=0.02)])
    monitor.close()
    assert LiveBound.load(path).audits == 31


def test_a_file_that_cannot_be_written_holds_up_nobody(
    store: HardSampleStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = AuditMonitor(store, live(), policy_id="policy", path=tmp_path / "no such folder" / "bound.json")
    monitor.close()
    assert "could not be written" in caplog.text


def test_threads_lose_no_audit(store: HardSampleStore) -> None:
    monitor = AuditMonitor(store, live(0.02), policy_id="policy")
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda i: monitor.append([sample(str(i), route="audit", sampling_probability=0.02)]), range(200)
            )
        )
    assert monitor.bound.audits == 200


def test_requests_are_counted_by_the_log(store: HardSampleStore) -> None:
    AuditMonitor(store, live(), policy_id="policy").count_request("", "policy", "small")
    store.flush()
    assert [count.requests for count in store.stats().traffic] == [1]


def test_a_bound_on_error_is_refused(store: HardSampleStore) -> None:
    with pytest.raises(AuditError, match="disagreement"):
        AuditMonitor(store, LiveBound("error", 0.05, lowest_audit_rate=1.0), policy_id="")
