from __future__ import annotations

import copy
import json
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from langchain_core.load import dumps, loads
from tiny_models import POSITIONS, WORDS, save_tiny_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertModel, RobertaConfig

from langchain_datashunt.errors import InvalidInputError, MissingExtraError, SmallModelError
from langchain_datashunt.small_models import TransformersClassifier, class_names, version_of
from langchain_datashunt.types import SmallModel

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=int(length))) for length in RNG.integers(1, 30, size=23)]
LONG = " ".join(RNG.choice(WORDS, size=300))


def copy_of(folder: Path, to: Path, **changes: object) -> Path:
    """Copy a model folder and change its config.json; None removes an entry."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text()) | changes
    (to / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return to


@pytest.fixture(scope="module")
def small(tiny_bert: Path) -> TransformersClassifier:
    return TransformersClassifier(tiny_bert, batch_size=4)


def test_it_is_a_small_model_with_the_labels_of_its_configuration(small: TransformersClassifier) -> None:
    assert isinstance(small, SmallModel)
    assert class_names(small) == ("negative", "neutral", "positive")


def test_a_batch_answers_each_text_as_it_is_answered_alone(small: TransformersClassifier) -> None:
    together = small.predict_proba(TEXTS)
    alone = np.vstack([small.predict_proba([text]) for text in TEXTS])
    assert together.shape == (len(TEXTS), 3)
    assert np.abs(together - alone).max() < 1e-5
    assert np.ptp(together[:, 0]) > 0.1  # the texts do differ, so a lost order would show


def test_the_order_of_the_inputs_does_not_matter(small: TransformersClassifier) -> None:
    shuffled = np.random.default_rng(1).permutation(len(TEXTS))
    again = small.predict_proba([TEXTS[row] for row in shuffled])
    assert np.abs(again - small.predict_proba(TEXTS)[shuffled]).max() < 1e-5


def test_it_agrees_with_transformers_own_tokenizer_and_forward_pass(
    small: TransformersClassifier, tiny_bert: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    network = AutoModelForSequenceClassification.from_pretrained(tiny_bert).eval()
    texts = [*TEXTS, LONG, ""]
    encoded = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = network(**encoded).logits.double().softmax(-1).numpy()
    assert np.abs(small.predict_proba(texts) - expected).max() < 1e-5


def test_head_sees_only_the_first_tokens_and_head_tail_the_last_as_well(tiny_bert: Path) -> None:
    head = TransformersClassifier(tiny_bert)
    head_tail = TransformersClassifier(tiny_bert, truncation="head_tail")
    words = LONG.split()
    room = POSITIONS - 2
    other_end = " ".join([*words[:-1], "awful" if words[-1] != "awful" else "great"])
    assert (head.predict_proba([LONG]) == head.predict_proba([other_end])).all()
    assert (head_tail.predict_proba([LONG]) != head_tail.predict_proba([other_end])).any()
    kept = " ".join([*words[: room // 4], *words[-(room - room // 4) :]])
    assert (head_tail.predict_proba([LONG]) == head_tail.predict_proba([kept])).all()
    assert (head.predict_proba(TEXTS) == head_tail.predict_proba(TEXTS)).all()


def test_a_shorter_limit_reads_less(tiny_bert: Path) -> None:
    short = TransformersClassifier(tiny_bert, max_length=6)
    assert (short.predict_proba(["good bad awful great late"]) == short.predict_proba(["good bad awful great"])).all()


def test_no_text_an_empty_text_and_a_megabyte_are_ordinary(small: TransformersClassifier) -> None:
    assert small.predict_proba([]).shape == (0, 3)
    assert np.allclose(small.predict_proba(["", "good " * 200_000]).sum(axis=1), 1)


@pytest.mark.parametrize("bad", [None, b"bytes", 3])
def test_what_is_no_text_is_refused(small: TransformersClassifier, bad: object) -> None:
    with pytest.raises(InvalidInputError, match="input 1 is"):
        small.predict_proba(["good", bad])  # type: ignore[list-item]


def test_threads_may_share_a_model_that_is_not_loaded_yet(tiny_bert: Path, small: TransformersClassifier) -> None:
    fresh = TransformersClassifier(tiny_bert, batch_size=4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: fresh.predict_proba(TEXTS), range(4)))
    assert all((answer == answers[0]).all() for answer in answers)
    assert np.abs(answers[0] - small.predict_proba(TEXTS)).max() < 1e-5


def test_pickle_carries_the_place_and_not_the_weights(small: TransformersClassifier) -> None:
    small.predict_proba(TEXTS)
    pickled = pickle.dumps(small)
    again = pickle.loads(pickled)
    assert len(pickled) < 2000
    assert again.version == small.version
    assert (again.predict_proba(TEXTS) == small.predict_proba(TEXTS)).all()


def test_a_deep_copy_shares_the_weights(small: TransformersClassifier) -> None:
    assert copy.deepcopy({"small": small})["small"] is small


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_langchain_can_write_it_down_and_load_it_again(tiny_bert: Path) -> None:
    small = TransformersClassifier(tiny_bert, labels=["a", "b", "c"], truncation="head_tail", max_length=9)
    again = loads(dumps(small), allowed_objects=[TransformersClassifier], valid_namespaces=["langchain_datashunt"])
    assert again == small
    assert (again.predict_proba(TEXTS) == small.predict_proba(TEXTS)).all()


def test_the_version_is_that_of_the_files_and_of_what_changes_answers(tiny_bert: Path, tmp_path: Path) -> None:
    version = version_of(TransformersClassifier(tiny_bert))
    moved = copy_of(tiny_bert, tmp_path / "moved")
    (moved / "config.json").write_bytes((tiny_bert / "config.json").read_bytes())
    assert version_of(TransformersClassifier(moved, batch_size=2, device="cpu")) == version
    others = [
        TransformersClassifier(tiny_bert, truncation="head_tail"),
        TransformersClassifier(tiny_bert, max_length=9),
        TransformersClassifier(tiny_bert, dtype="bfloat16"),
        TransformersClassifier(tiny_bert, labels=["a", "b", "c"]),
        TransformersClassifier(copy_of(tiny_bert, tmp_path / "other", hidden_act="relu")),
    ]
    weights = copy_of(tiny_bert, tmp_path / "weights") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    others.append(TransformersClassifier(weights.parent))
    assert len({version, *(version_of(other) for other in others)}) == len(others) + 1


def test_bfloat16_moves_probabilities_but_keeps_them_probabilities(
    tiny_bert: Path, small: TransformersClassifier
) -> None:
    half = TransformersClassifier(tiny_bert, dtype="bfloat16").predict_proba(TEXTS)
    moved = np.abs(half - small.predict_proba(TEXTS)).max()
    assert 0 < moved < 0.2
    assert np.allclose(half.sum(axis=1), 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_answers_as_the_cpu_does(tiny_bert: Path) -> None:
    on_gpu = TransformersClassifier(tiny_bert, device="cuda", batch_size=64)
    on_cpu = TransformersClassifier(tiny_bert, device="cpu")
    assert np.abs(on_gpu.predict_proba(TEXTS) - on_cpu.predict_proba(TEXTS)).max() < 1e-4
    assert on_gpu.version == on_cpu.version
    assert np.isfinite(TransformersClassifier(tiny_bert, device="cuda", dtype="float16").predict_proba(TEXTS)).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"truncation": "tail"}, "head_tail"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"max_lenght": 5}, "max_lenght"),
        ({"labels": ["a", "a"]}, "more than once"),
        ({"labels": "abc"}, "the string 'abc'"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(tiny_bert: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(SmallModelError, match=said):
        TransformersClassifier(tiny_bert, **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"labels": ["a", "b"]}, r"3 outputs .* got labels=\['a', 'b'\]"),
        ({"max_length": POSITIONS + 1}, f"{POSITIONS} positions"),
        ({"max_length": 2}, "no room beside 2 special tokens"),
    ],
)
def test_a_setting_that_does_not_fit_the_model_is_refused(
    tiny_bert: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(SmallModelError, match=said):
        TransformersClassifier(tiny_bert, **settings).predict_proba(["good"])


def test_of_a_model_that_counts_after_padding_no_position_is_promised_that_is_not_there(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    save_tiny_classifier(tmp_path, RobertaConfig, **sizes)
    usable = POSITIONS - 1  # padding is token 0, so that the first token has position 1
    assert TransformersClassifier(tmp_path, max_length=usable).predict_proba(["good " * POSITIONS]).shape == (1, 3)
    assert TransformersClassifier(tmp_path).predict_proba(["good " * POSITIONS]).shape == (1, 3)
    with pytest.raises(SmallModelError, match=f"max_length={POSITIONS} is more than the {usable} positions"):
        TransformersClassifier(tmp_path, max_length=POSITIONS).predict_proba(["good"])


def test_a_folder_that_holds_no_trained_classifier_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    encoder = copy_of(tiny_bert, tmp_path / "encoder")
    BertModel.from_pretrained(tiny_bert).save_pretrained(encoder)
    with pytest.raises(SmallModelError, match=r"no weights for \['classifier.bias', 'classifier.weight'\]"):
        TransformersClassifier(encoder, labels=["a", "b", "c"]).predict_proba(["good"])


def test_a_configuration_that_makes_no_single_choice_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    nameless = copy_of(tiny_bert, tmp_path / "nameless", id2label=None)
    many = copy_of(tiny_bert, tmp_path / "many", problem_type="multi_label_classification")
    regression = copy_of(tiny_bert, tmp_path / "regression", id2label={"0": "stars"})
    for folder, said in [(nameless, "give labels"), (many, "multi-label"), (regression, "at least two classes")]:
        with pytest.raises(SmallModelError, match=said):
            class_names(TransformersClassifier(folder))


def test_a_place_without_a_model_is_named(tiny_bert: Path, tmp_path: Path) -> None:
    empty, tokenless = tmp_path / "empty", copy_of(tiny_bert, tmp_path / "tokenless")
    empty.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tokenless / name).unlink()
    for place, said in [
        (tmp_path / "none", "is not a folder"),
        ("package:no_such_package", "no installed package"),
        (empty, "config.json cannot be read"),
        (tokenless, "holds no tokenizer"),
    ]:
        with pytest.raises(SmallModelError, match=said):
            TransformersClassifier(place).predict_proba(["good"])
    with pytest.raises(SmallModelError, match="no weights"):
        _ = TransformersClassifier(empty, labels=["a", "b"]).version


def test_damaged_weights_are_named(tiny_bert: Path, tmp_path: Path) -> None:
    damaged = copy_of(tiny_bert, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(SmallModelError, match="no TransformersClassifier can be loaded from"):
        TransformersClassifier(damaged).predict_proba(["good"])


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_its_extra_it_says_what_to_install(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'langchain-datashunt\[transformers\]'"):
        TransformersClassifier(tiny_bert).predict_proba(["good"])
