"""What the report says, of logs that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hard_samples import sample
from reported_logs import PRICES, fill, plain, told
from review_versions import fitted, policy_for

from langchain_datashunt import HardSampleStore, LiveBound, Prices, ShuntPolicy, write_report
from langchain_datashunt.errors import HardSampleStoreError, PolicyError, PolicyMismatchError
from langchain_datashunt.policy.certification import exact_interval
from langchain_datashunt.registry.model_registry import ModelRegistry
from langchain_datashunt.report.labelled_section import LabelledRows
from langchain_datashunt.report.wording import span


def test_what_was_saved_is_the_avoided_calls_at_the_price_of_audited_ones(
    store: HardSampleStore, tmp_path: Path
) -> None:
    fill(store)
    text = told(store, tmp_path / "report.html", prices=PRICES)
    assert "answered 600 of 1000 requests (60.0 %) without any LLM call" in text
    assert "saved about EUR 12000.00" in text  # 600 calls of 20 tokens, a euro each
    assert "52.2 % of the bill" in text  # 12,000 of 12,000 + 300 x 30 + 100 x 20
    assert "an assumption" not in text


def test_with_too_few_audits_the_price_of_avoided_calls_is_called_an_assumption(
    store: HardSampleStore, tmp_path: Path
) -> None:
    fill(store, small=690, audits=10, disagreeing=0)
    text = told(store, tmp_path / "report.html", prices=PRICES)
    assert "saved about EUR 20700.00" in text  # 690 calls at the price of deferred ones
    assert "(an assumption)" in text


def test_the_small_models_calls_are_paid_for(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store)
    text = told(store, tmp_path / "report.html", prices=Prices(input=1e6, output=0.0, small=50.0, currency="EUR"))
    assert "That saved nothing: the small model's calls cost EUR 38000.00 more than they spared." in text


def test_without_prices_the_bill_is_in_tokens(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store)
    text = told(store, tmp_path / "report.html")
    assert "saved about 12000 tokens" in text
    assert "No prices were given" in text


def test_disagreement_and_error_have_their_exact_intervals(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store, gold=50, wrong=4)
    text = told(store, tmp_path / "report.html")
    assert plain(f"Differs from the LLM 10.0 % {span(*exact_interval(10, 100))}; n = 100 audits") in text
    assert plain(f"Error of its own answers 8.0 % {span(*exact_interval(4, 50))}; n = 50 labelled audits") in text
    assert "Wrong, says a person: 4 audited requests" in text


def test_without_peoples_labels_it_says_that_the_error_is_not_known(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store)
    text = told(store, tmp_path / "report.html")
    assert "How many of its answers were wrong is not known" in text
    assert "Error of its own answers not known" in text


def test_without_audits_it_says_that_quality_is_not_known(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store, small=700, audits=0, disagreeing=0)
    text = told(store, tmp_path / "report.html")
    assert "How good its answers were is not known: none of them was audited." in text
    assert "No accepted request was audited." in text
    assert "Differs from the LLM not known" in text


def test_the_present_row_of_other_thresholds_is_what_happened(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store)
    text = told(store, tmp_path / "report.html", prices=PRICES)
    assert "0.800 70.0 % EUR 9000.00 7.0 %" in text  # of the accepted 700 a tenth
    assert "never ask the LLM 100.0 % EUR 0.00" in text
    assert "always ask the LLM 0.0 % EUR 23000.00" in text  # 300 x 30 + 700 x 20


def test_the_policys_certificate_and_the_live_bounds_are_shown(store: HardSampleStore, tmp_path: Path) -> None:
    bound = LiveBound("disagreement", 0.05, lowest_audit_rate=0.1)
    bound.update([True] * 50, 0.1)
    policy = ShuntPolicy(classes=("positive", "negative"), threshold=0.8)
    fill(store)
    store.count_request("", policy.policy_id, "small")
    text = told(store, tmp_path / "report.html", policy=policy, bounds=[bound])
    assert "ALARM: disagreement among accepted inputs has passed its target 0.05" in text
    assert f"Policy {policy.policy_id} Threshold 0.800 on max_probability" in text


def test_lost_records_are_a_headline(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store)
    store._tally.lose(7, "OSError: the disk of Smith is full")
    store.flush()
    text = told(store, tmp_path / "report.html")
    assert "Records lost 7 last reason: OSError" in text
    assert "Smith" not in text


def test_inputs_can_be_left_out(store: HardSampleStore, tmp_path: Path) -> None:
    store.append([sample("says Smith")])
    assert "says Smith" in told(store, tmp_path / "report.html")
    text = told(store, tmp_path / "report.html", show_inputs=False)
    assert "Smith" not in text
    (kept,) = store.iter_samples()
    assert kept.id in text


def test_one_tenant_and_one_policy_can_be_told_of(store: HardSampleStore, tmp_path: Path) -> None:
    store.append([sample("of acme", tenant="acme"), sample("of other", tenant="other", policy_id="second")])
    store.count_request("acme", "policy", "large")
    store.count_request("other", "second", "large")
    store.flush()
    text = told(store, tmp_path / "report.html", tenant="acme")
    assert "of acme" in text
    assert "of other" not in text
    text = told(store, tmp_path / "report.html", policy_id="second")
    assert "of other" in text
    assert "of acme" not in text


def test_an_empty_log_and_a_wrong_policy_are_refused(store: HardSampleStore, tmp_path: Path) -> None:
    with pytest.raises(HardSampleStoreError, match="nothing to report on"):
        write_report(store, tmp_path / "report.html")
    fill(store)
    policy = ShuntPolicy(classes=("positive", "negative"), threshold=0.8)
    with pytest.raises(PolicyMismatchError, match="asked for 'other'"):
        write_report(store, tmp_path / "report.html", policy=policy, policy_id="other")
    with pytest.raises(HardSampleStoreError, match=r"reads a HardSampleStore, .*; got 'samples.db'"):
        write_report("samples.db", tmp_path / "report.html")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"prices are Prices\(.*; got 0.2"):
        write_report(store, tmp_path / "report.html", prices=0.2)  # type: ignore[arg-type]
    assert not (tmp_path / "report.html").exists()


def test_labelled_rows_need_a_policy(store: HardSampleStore, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="policy="):
        write_report(store, tmp_path / "report.html", labelled=LabelledRows(np.ones((1, 2)) / 2, ["positive"]))


def test_a_log_of_a_shunt_without_a_policy_is_told_of(store: HardSampleStore, tmp_path: Path) -> None:
    store.append([sample("what is this", policy_id="")])
    store.count_request("", "", "large")
    store.count_request("", "", "small")
    store.flush()
    text = told(store, tmp_path / "report.html")
    assert "Policy (none)" in text
    assert "answered 1 of 2 requests" in text


def test_versions_and_promotions_of_a_registry_are_told(store: HardSampleStore, tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "models")
    for seed in range(2):
        registry.add(fitted(seed), policy_for(fitted(seed)), parents=(1,) * seed, data={"labels": 500})
    registry.promote(1, reason="the first")
    registry.promote(2, reason="fewer calls <b>at the same risk</b>")
    fill(store)
    for route in ("small", "small", "large"):
        store.count_request("", registry.version(2).card.policy_id, route)
    store.flush()
    text = told(store, tmp_path / "report.html", registry=registry)
    assert "promoted version 2, in the place of 1 fewer calls <b>at the same risk</b>" in text
    assert "500 labels 3 66.7 %" in text
    assert "2 " + registry.version(2).card.created[:10] + " 1 " in text


def test_a_registry_without_promotions_says_so(store: HardSampleStore, tmp_path: Path) -> None:
    fill(store)
    text = told(store, tmp_path / "report.html", registry=ModelRegistry(tmp_path / "models"))
    assert "No version was ever promoted." in text
