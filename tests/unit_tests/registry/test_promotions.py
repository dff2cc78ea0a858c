"""Which version serves: the journal, by one process and by many, also where they are killed."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from registry_processes import elsewhere, promote_for_ever
from review_versions import TEXTS, answers_of, fitted, policy_for

from langchain_datashunt import ModelRegistry, PromotedModel, RegistryError
from langchain_datashunt.small_models import version_of

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

KILLS = 25


def served(registry: ModelRegistry) -> list[int]:
    return [entry.version for entry in registry.history()]


def promote_and_roll_back(folder: Path, first: int) -> None:
    registry = ModelRegistry(folder)
    for i in range(40):
        registry.promote(1 + (i + first) % 3)
        with suppress(RegistryError):  # nothing before
            registry.rollback()


def add_models(folder: Path, models: list[Any]) -> None:
    for small in models:
        ModelRegistry(folder).add(small, policy_for(small))


def test_the_last_entry_of_the_journal_serves(registry: ModelRegistry) -> None:
    assert registry.promoted().version == 1  # type: ignore[union-attr]
    entry = registry.promote(3, reason="better by 0.02")
    assert (entry.sequence, entry.version, entry.before, entry.action) == (2, 3, 1, "promote")
    assert registry.promoted() == entry
    assert [each.reason for each in registry.history()] == ["", "better by 0.02"]


def test_promoting_what_serves_already_changes_nothing(registry: ModelRegistry) -> None:
    assert registry.promote(1) == registry.history()[0]
    assert len(registry.history()) == 1


def test_a_rollback_goes_back_one_promotion_and_a_second_one_two(registry: ModelRegistry) -> None:
    registry.promote(2)
    registry.promote(3)
    assert registry.rollback(reason="complaints").version == 2
    assert registry.rollback().version == 1
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        registry.rollback()
    registry.promote(3)
    assert registry.rollback().version == 1
    assert served(registry) == [1, 2, 3, 2, 1, 3, 1]
    assert [entry.action for entry in registry.history()][3:5] == ["rollback", "rollback"]


def test_a_version_can_be_bound_to_replace_the_one_that_it_was_compared_with(registry: ModelRegistry) -> None:
    registry.promote(2, replacing=1)
    with pytest.raises(RegistryError, match="was to replace version 1, but version 2 serves now"):
        registry.promote(3, replacing=1)
    assert served(registry) == [1, 2]


def test_a_version_is_named_by_a_number(registry: ModelRegistry) -> None:
    with pytest.raises(RegistryError, match="by its number, an int; got str '1'"):
        registry.promote("1")  # type: ignore[arg-type]


def test_a_version_that_does_not_exist_is_not_promoted(registry: ModelRegistry) -> None:
    with pytest.raises(RegistryError, match=r"has no version 7; it has \[1, 2, 3\]"):
        registry.promote(7)


def test_a_malformed_entry_is_named(registry: ModelRegistry) -> None:
    (registry.folder / "promotions" / "000002.json").write_text('{"version": 2}')
    with pytest.raises(RegistryError, match=r"000002.json expects the fields"):
        registry.promoted()


def test_of_many_that_would_replace_one_version_exactly_one_does(registry: ModelRegistry) -> None:
    def promote(number: int) -> bool:
        try:
            ModelRegistry(registry.folder).promote(number, replacing=1)
        except RegistryError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(promote, [2, 3] * 8))
    winner = served(registry)[1]
    assert served(registry) == [1, winner]
    assert outcomes.count(True) >= 1  # those of the winner's own number find it serving already, or lost
    assert not any(won for number, won in zip([2, 3] * 8, outcomes, strict=True) if number != winner)


def test_processes_that_promote_and_roll_back_at_once_write_one_journal_without_a_gap(registry: ModelRegistry) -> None:
    processes = [elsewhere(promote_and_roll_back, registry.folder, first) for first in range(3)]
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    history = registry.history()
    assert [entry.sequence for entry in history] == list(range(1, len(history) + 1))
    assert all(later.before == earlier.version for earlier, later in pairwise(history))
    assert len(history) > 80
    standing: list[int] = []
    for entry in history:
        if entry.action == "promote":
            standing.append(entry.version)
        else:
            standing.pop()
            assert entry.version == standing[-1]


def test_processes_that_add_at_once_get_numbers_of_their_own(registry: ModelRegistry) -> None:
    models = [fitted(seed) for seed in range(10, 22)]
    processes = [elsewhere(add_models, registry.folder, models[first::3]) for first in range(3)]
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [version.number for version in registry.versions()] == list(range(1, 16))
    kept = {registry.load(number).small_model_version for number in range(4, 16)}
    assert kept == {version_of(small) for small in models}


def test_killed_at_any_moment_of_a_promotion_the_registry_is_whole_and_the_old_version_serves_on(
    registry: ModelRegistry,
) -> None:
    small = PromotedModel(registry.folder)
    expected = {number: answers_of(fitted(number - 1)) for number in (1, 2, 3)}
    draw = random.Random(0)  # noqa: S311  moments
    written = 1
    for _ in range(KILLS):
        process = elsewhere(promote_for_ever, registry.folder)
        while len(registry.history()) == written:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        process.join()
        assert answers_of(small) == expected[small.number]  # the one that was loaded, whatever became of the other
        history = ModelRegistry(registry.folder).history()
        assert [entry.sequence for entry in history] == list(range(1, len(history) + 1))
        assert len(history) > written
        written = len(history)
        small.reload()
        assert small.number == history[-1].version
        assert answers_of(small) == expected[small.number]


def test_killed_at_any_moment_of_an_addition_only_whole_versions_are_there(registry: ModelRegistry) -> None:
    models = [fitted(seed) for seed in range(3, 9)]
    draw = random.Random(1)  # noqa: S311  moments
    for _ in range(KILLS):
        before = set((registry.folder / "versions").iterdir())
        process = elsewhere(add_models, registry.folder, models)
        while set((registry.folder / "versions").iterdir()) == before:
            time.sleep(0.001)  # it has not begun to write
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.join()
    numbers = [version.number for version in registry.versions()]
    assert numbers == list(range(1, len(numbers) + 1))
    for number in numbers:
        assert registry.load(number).small.predict_proba(TEXTS).shape == (len(TEXTS), 2)
    assert registry.add(models[0], policy_for(models[0])).number == len(numbers) + 1
