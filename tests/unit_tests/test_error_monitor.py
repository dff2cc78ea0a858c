"""The live bound on error, fed with people's labels of audits."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hard_samples import EASY, HARD, model, parser, sample, shunt, small_model

from langchain_datashunt import AuditError, ErrorMonitor, HardSampleCallbackHandler, HardSampleStore, LiveBound
from langchain_datashunt.bounds.live_bound import Alarm
from langchain_datashunt.types import HardSample


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HardSampleStore]:
    with HardSampleStore(tmp_path / "samples.db") as store:
        yield store


def audit(text: str, rate: float = 0.02, **fields: object) -> HardSample:
    """An audit on which the small model says "positive", and the LLM agrees."""
    given = {"route": "audit", "reason": "accepted", "label": "positive", "sampling_probability": rate, **fields}
    return sample(text, **given)


def live(rate: float = 0.02, target: float = 0.05) -> LiveBound:
    return LiveBound("error", target, lowest_audit_rate=rate)


def labelled(store: HardSampleStore, wrong: list[bool], rate: float = 0.02, name: str = "text") -> None:
    for id_, is_wrong in zip(store.append([audit(f"{name} {i}", rate) for i in range(len(wrong))]), wrong, strict=True):
        store.label(id_, "negative" if is_wrong else "positive")


def test_labels_of_a_chains_audits_reach_the_bound(store: HardSampleStore) -> None:
    chain = shunt(small_model(), model("positive"), audit_rate=1.0) | parser()
    chain.batch([*(f"{EASY} {i}" for i in range(20)), HARD], {"callbacks": [HardSampleCallbackHandler(store)]})
    monitor = ErrorMonitor(store, live(1.0), policy_id="")
    for i, kept in enumerate(store.iter_samples()):  # the deferred one is labelled too, and is no audit
        store.label(kept.id, "negative" if i < 5 else "positive")
    monitor.update()
    assert (monitor.bound.audits, monitor.bound.estimate) == (20, 0.25)


def test_both_models_wrong_alike_is_error_without_disagreement(store: HardSampleStore) -> None:
    labelled(store, [True] * 20)
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    alarm = monitor.update()
    assert alarm is not None
    assert alarm.lower >= 0.05
    assert store.estimate(policy_id="policy").disagreement.misses == 0


def test_the_alarm_goes_off_once_and_only_when_the_lower_bound_passes_the_target(
    store: HardSampleStore, caplog: pytest.LogCaptureFixture
) -> None:
    alarms: list[Alarm] = []
    monitor = ErrorMonitor(store, live(), policy_id="policy", on_alarm=alarms.append)
    with caplog.at_level(logging.ERROR, logger="langchain_datashunt.store.error_monitor"):
        for i in range(30):
            labelled(store, [True], name=f"wrong {i}")
            alarm = monitor.update()
            assert (monitor.bound.lower >= 0.05) == bool(alarms)
            assert alarm is None or alarms == [alarm]
    assert len(alarms) == 1
    assert monitor.bound.audits == 30
    assert [record.getMessage() for record in caplog.records] == [str(alarms[0])]


def test_feeding_in_any_portions_is_the_same_as_telling_the_bound(store: HardSampleStore) -> None:
    drawn = random.Random(3)  # noqa: S311  no secret
    monitor, told = ErrorMonitor(store, live(), policy_id="policy"), live()
    for portion in range(12):
        wrong = [drawn.random() < 0.06 for _ in range(drawn.randrange(9))]
        rate = drawn.choice([0.02, 0.1])
        labelled(store, wrong, rate, f"portion {portion}")
        monitor.update()
        if wrong:
            told.update(wrong, rate)
    assert monitor.bound.to_dict() == told.to_dict()


def test_repeated_requests_count_as_often_as_they_were_made_those_after_the_label_too(store: HardSampleStore) -> None:
    (id_,) = store.append([audit("often")])
    store.append([audit("often")])
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    monitor.update()
    assert monitor.bound.audits == 0  # nobody has labelled it
    store.label(id_, "negative")
    monitor.update()
    assert monitor.bound.audits == 2
    store.append([audit("often")])
    monitor.update()
    monitor.update()
    assert monitor.bound.audits == 3


def test_an_audit_whose_llm_failed_counts_by_its_label(store: HardSampleStore) -> None:
    failed = audit("failed", route="small_on_error", reason="large_error", complete=False, teacher_kind="nobody")
    store.label(store.append([failed])[0], "negative")
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    monitor.update()
    assert (monitor.bound.audits, monitor.bound.estimate) == (1, 1.0)


def test_deferred_inputs_and_other_policies_are_left_out(store: HardSampleStore) -> None:
    for id_ in store.append([sample("deferred"), audit("other", policy_id="other")]):
        store.label(id_, "negative")
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    assert monitor.update() is None
    assert monitor.bound.audits == 0


def test_a_restart_goes_on_where_it_was(store: HardSampleStore, tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    ErrorMonitor(store, live(), policy_id="policy", path=path).update()
    labelled(store, [False, True])
    first = ErrorMonitor.load(path, store)
    first.update()
    again = ErrorMonitor.load(path, store)
    again.update()
    assert again.bound.audits == 2
    assert again.bound.to_dict() == first.bound.to_dict() == LiveBound.load(path).to_dict()


def test_a_crash_between_labelling_and_saving_loses_nothing(store: HardSampleStore, tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    monitor = ErrorMonitor(store, live(), policy_id="policy", path=path)
    monitor.update()
    before = path.read_text()
    labelled(store, [True, False, True])
    monitor.update()
    path.write_text(before)  # the file is as old as before, the labels are in the log
    resumed = ErrorMonitor.load(path, store)
    resumed.update()
    assert resumed.bound.to_dict() == monitor.bound.to_dict()


def test_a_corrected_label_is_reported(store: HardSampleStore, caplog: pytest.LogCaptureFixture) -> None:
    labelled(store, [True])
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    monitor.update()
    (kept,) = store.iter_samples()
    store.label(kept.id, "positive")
    monitor.update()
    assert "1 labels were corrected" in caplog.text
    assert monitor.bound.audits == 1


def test_a_label_that_was_taken_back_is_reported_and_an_erased_record_is_not(
    store: HardSampleStore, caplog: pytest.LogCaptureFixture
) -> None:
    labelled(store, [True, False])
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    monitor.update()
    first, second = store.iter_samples()
    store.erase(input=first.input)
    monitor.update()
    assert not caplog.records
    store.label(second.id, None)
    monitor.update()
    assert "1 taken back" in caplog.text
    assert monitor.bound.audits == 2


def test_an_audit_rate_below_the_lowest_is_refused_and_nothing_is_added(store: HardSampleStore) -> None:
    labelled(store, [True], 0.001)
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    with pytest.raises(AuditError, match=r"lowest_audit_rate=0\.02"):
        monitor.update()
    assert monitor.bound.audits == 0


def test_threads_add_each_label_once(store: HardSampleStore) -> None:
    labelled(store, [False] * 50)
    monitor = ErrorMonitor(store, live(), policy_id="policy")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: monitor.update(), range(16)))
    assert monitor.bound.audits == 50


def test_a_bound_on_disagreement_is_refused(store: HardSampleStore) -> None:
    with pytest.raises(AuditError, match="people's labels measure error"):
        ErrorMonitor(store, LiveBound("disagreement", 0.05, lowest_audit_rate=1.0), policy_id="")


def test_the_file_of_a_bound_alone_is_refused(store: HardSampleStore, tmp_path: Path) -> None:
    live().save(tmp_path / "alone.json")
    with pytest.raises(AuditError, match="no ErrorMonitor wrote it"):
        ErrorMonitor.load(tmp_path / "alone.json", store)


def test_the_gold_labels_of_a_policy_are_found_along_an_index(store: HardSampleStore) -> None:
    labelled(store, [False])
    with store._ready_engine().connect() as connection:
        from langchain_datashunt.store.estimates import _GOLD, _WHERE

        query = "EXPLAIN QUERY PLAN " + _GOLD.format(where=_WHERE).replace(":policy_id", "'policy'")
        plan = " ".join(str(row.detail) for row in connection.exec_driver_sql(query))
    assert "samples_gold" in plan, plan


def test_what_was_fed_stands_in_the_file_by_record(store: HardSampleStore, tmp_path: Path) -> None:
    labelled(store, [True])
    path = tmp_path / "error.json"
    ErrorMonitor(store, live(), policy_id="policy", path=path).update()
    (kept,) = store.iter_samples()
    assert json.loads(path.read_text())["fed"] == {kept.id: [1, "negative"]}
