"""Ask SmolLM2 about deferred inputs with hints and without, beside the baselines; docs/hints.md has the results.

::

    python -m tests.evidence.hints.measure_hints reviews headlines

Replies are kept beside the downloaded texts, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_datashunt.demo.local_server import MODEL, LocalServer
from langchain_datashunt.demo.texts import default_cache
from langchain_datashunt.hints.measurement import HintMeasurement
from langchain_datashunt.hints.measuring import measure_hint
from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
from tests.evidence.hints.reply_cache import ReplyCache
from tests.evidence.hints.studies import STUDIES, Study
from tests.evidence.hints.texts import Row

DEVELOPMENT = {"reviews": 120, "headlines": 110}
TEST = {"reviews": 1173, "headlines": 1396}
"""Rows of each part that the published run took."""


def smollm2(base_url: str, study: str) -> BaseChatModel:
    """One token says all: the labels are words of one token each, and it carries the log-probabilities."""
    from langchain_openai import ChatOpenAI

    told: dict[str, Any] = {"temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    cache = ReplyCache(default_cache() / f"hint-study-{study}.jsonl")
    return ChatOpenAI(model=MODEL, base_url=base_url, api_key="none", max_retries=1, cache=cache, **told)


def measure(
    study: Study, llm: BaseChatModel, development: Sequence[Row], test: Sequence[Row]
) -> dict[str, HintMeasurement]:
    """Measure the prompts with each way of reading the replies."""
    rows = [*development, *test]
    inputs = [{"text": row.text, "others": row.others} for row in rows]
    tuning = [True] * len(development) + [False] * len(test)
    return {
        reading: measure_hint(
            study.small,
            study.policy,
            llm,
            inputs,
            [row.label for row in rows],
            prompt=study.prompts,
            candidates=study.candidates,
            parser=PromptPruningOutputParser(study.policy.classes, on_invalid="none", use_logprobs=use_logprobs),
            input="text",
            tuning=tuning,
            config={"max_concurrency": 8},
        )
        for reading, use_logprobs in (("log-probabilities", True), ("text", False))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="+", choices=list(STUDIES))
    parser.add_argument("--development", type=int, help="rows that choose [default: as published]")
    parser.add_argument("--test", type=int, help="rows that are scored [default: as published]")
    options = parser.parse_args()
    with LocalServer(threads=1) as server:
        for name in options.studies:
            study = STUDIES[name]()
            development = study.parts.development[: options.development or DEVELOPMENT[name]]
            test = study.parts.test[: options.test or TEST[name]]
            print(f"{name}: {len(development)} development rows, {len(test)} test rows", flush=True)
            for setting, found in measure(study, smollm2(server.base_url, name), development, test).items():
                print(f"\n{setting}\n{found}", flush=True)


if __name__ == "__main__":
    main()
