from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hard_samples import HARD, model, only, parser, shunt

from langchain_datashunt.callbacks.handler import HardSampleCallbackHandler
from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel
from langchain_datashunt.types import HardSample


def test_a_store_that_fails_breaks_no_chain_and_counts(
    tmp_path: Path, small: KeywordSmallModel, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(text: str) -> str:
        raise RuntimeError(f"cannot redact {len(text)} characters")

    store = HardSampleStore(tmp_path / "samples.db", redact=refuse)
    chain = shunt(small, model()) | parser()
    assert chain.invoke(HARD, {"callbacks": [HardSampleCallbackHandler(store)]}) == "negative"
    assert store.health.dropped == 1
    assert "RuntimeError" in caplog.text
    assert HARD not in caplog.text
    store.flush()
    (loss,) = store.stats().losses
    assert loss.records == 1


@pytest.mark.parametrize("store", [None, "samples.db", []], ids=repr)
def test_what_is_no_log_is_refused_before_anything_is_lost(store: Any) -> None:
    with pytest.raises(HardSampleStoreError, match="records go to a HardSampleStore"):
        HardSampleCallbackHandler(store)


def test_redaction_comes_before_anything_is_written(tmp_path: Path, small: KeywordSmallModel) -> None:
    path = tmp_path / "samples.db"
    with HardSampleStore(path, redact=lambda text: text.replace("Smith", "[name]")) as store:
        handler = HardSampleCallbackHandler(store)
        chain = shunt(small, model("negative, says Smith")) | parser()
        chain.invoke("what does Smith say", {"callbacks": [handler], "tags": ["Smith"], "metadata": {"n": "Smith"}})
        sample = only(store)
        assert sample.input == "what does [name] say"
        assert (sample.raw, sample.tags, sample.label) == ("negative, says [name]", ("[name]",), "negative")
    assert all(b"Smith" not in file.read_bytes() for file in tmp_path.iterdir())


def test_without_inputs_only_hashes_labels_and_numbers_are_kept(tmp_path: Path, small: KeywordSmallModel) -> None:
    path = tmp_path / "samples.db"
    with HardSampleStore(path, store_input=False, salt="a secret of sixteen") as store:
        chain = shunt(small, model("negative, says Smith")) | parser()
        chain.invoke("what does Smith say", {"callbacks": [HardSampleCallbackHandler(store)]})
        sample = only(store)
        assert (sample.input, sample.raw, sample.label) == (None, None, "negative")
        assert sample.input_hash == store.hash_input("what does Smith say")
    assert all(b"Smith" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_sink_that_raises_anything_breaks_no_chain_and_leaves_nothing_behind(
    small: KeywordSmallModel, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def append(self, samples: Sequence[HardSample]) -> None:
            raise LookupError(samples[0].input)

        def count_request(self, tenant: str, policy_id: str, route: str) -> None:
            pass

    handler = HardSampleCallbackHandler(Broken())
    chain = shunt(small, model()) | parser()
    assert chain.invoke(HARD, {"callbacks": [handler]}) == "negative"
    assert "LookupError" in caplog.text
    assert HARD not in caplog.text
    assert handler.run_map == {}
