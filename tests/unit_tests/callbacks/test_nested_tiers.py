from __future__ import annotations

from hard_samples import HARD, LABELS, Config, model, only, parser, shunt
from langchain_core.runnables import RunnableLambda

from langchain_datashunt.store import HardSampleStore
from langchain_datashunt.testing import KeywordSmallModel, ScriptedSmallModel


def test_each_tier_has_a_record_and_the_inner_names_the_outer(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    inner = shunt(ScriptedSmallModel(LABELS, {}), model())
    (shunt(small, inner) | parser()).invoke(HARD, config)
    outer_sample, inner_sample = store.iter_samples()
    assert inner_sample.parent_id == outer_sample.id
    assert outer_sample.parent_id is None
    assert outer_sample.teacher == inner_sample.teacher
    assert outer_sample.trainable
    assert inner_sample.trainable


def test_an_inner_small_model_is_a_small_teacher(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    middle = ScriptedSmallModel(LABELS, {HARD: [0.1, 0.9]})
    (shunt(small, shunt(middle, model())) | parser()).invoke(HARD, config)
    sample = only(store)
    assert (sample.teacher, sample.teacher_kind) == ("ScriptedSmallModel", "small")
    assert sample.complete
    assert not sample.trainable


def test_a_large_branch_that_is_no_language_model_is_another_teacher(
    store: HardSampleStore, config: Config, small: KeywordSmallModel
) -> None:
    def rules(_: str) -> str:
        return "negative"

    shunt(small, RunnableLambda(rules).with_types(output_type=str)).invoke(HARD, config)
    sample = only(store)
    assert (sample.teacher_kind, sample.trainable, sample.label) == ("other", False, "negative")
