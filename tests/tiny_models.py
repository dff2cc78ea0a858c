"""A transformer small enough to make in a test, with words for it to read."""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForSequenceClassification, BertConfig, BertTokenizerFast, PretrainedConfig

WORDS = [
    *("the", "of", "and", "film", "was", "good", "bad", "awful", "great", "story", "actors"),
    *("money", "service", "works", "broke", "arrived", "late", "never", "again"),
]
POSITIONS = 40


def save_tiny_bert(folder: Path) -> None:
    """Save a real BERT classifier of three classes, with a tokenizer made here and random weights."""
    save_tiny_classifier(
        folder,
        BertConfig,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )


def save_tiny_classifier(folder: Path, kind: type[PretrainedConfig], **sizes: int) -> None:
    """Save a real classifier of three classes, with a tokenizer made here and random weights."""
    vocabulary = _save_tokenizer(folder)
    torch.manual_seed(0)
    config = kind(
        vocab_size=vocabulary,
        pad_token_id=0,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,  # so that texts differ in what random weights make of them
        id2label={0: "negative", 1: "neutral", 2: "positive"},
        label2id={"negative": 0, "neutral": 1, "positive": 2},
        **sizes,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)


def save_tiny_onnx(folder: Path) -> None:
    """Save an ONNX classifier of three classes that adds up a number for each token and class, with a tokenizer."""
    vocabulary = _save_tokenizer(folder)
    scores = np.random.default_rng(0).normal(size=(vocabulary, 3)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Gather", ["scores", "input_ids"], ["of_tokens"]),
        onnx.helper.make_node("Cast", ["attention_mask"], ["mask"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        onnx.helper.make_node("Mul", ["of_tokens", "weights"], ["weighted"]),
        onnx.helper.make_node("ReduceSum", ["weighted", "second"], ["logits"], keepdims=0),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])],
        [
            onnx.numpy_helper.from_array(scores, "scores"),
            onnx.numpy_helper.from_array(np.array([-1]), "last"),
            onnx.numpy_helper.from_array(np.array([1]), "second"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    labels = {"0": "negative", "1": "neutral", "2": "positive"}
    config = {"id2label": labels, "max_position_embeddings": POSITIONS}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _save_tokenizer(folder: Path) -> int:
    """Save a tokenizer of these words, and letters for all others; return how many tokens it knows.

    It is written down, not trained: training numbers equally frequent tokens differently each time.
    """
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase), *WORDS]
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))  # noqa: S106  a token of text
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())
