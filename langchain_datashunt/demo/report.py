"""What the demo prints at its end, and writes as JSON. Every figure is of the run that it follows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from langchain_datashunt.demo.experiment import Example, Outcome
from langchain_datashunt.demo.local_server import MODEL
from langchain_datashunt.demo.scores import Interval, Score
from langchain_datashunt.demo.splits import Split

LONGEST_TEXT = 140


def print_report(console: Console, outcome: Outcome, split: Split, model: str, seconds: float) -> None:
    """Print the policy, the table, the examples, and what the figures do and do not show."""
    console.print(f"\n[bold]The rule[/]  {escape(policy_sentence(outcome))}\n")
    console.print(score_table(outcome, split, model))
    console.print(escape(selective_sentence(outcome)))
    if outcome.invalid_replies:
        console.print(
            f"{outcome.invalid_replies} replies of the LLM alone named no label, and count as wrong; in the cascade "
            "the small model's answer takes their place."
        )
    console.print("\n[bold]The first test sentences of each kind[/]")
    for example in outcome.examples():
        console.print(example_lines(example))
    console.print(f"\n[bold]What this shows[/]  {escape(closing_sentence(outcome, split, model))}")
    console.print(f"[dim]{seconds:.0f} s in all.[/]")


def policy_sentence(outcome: Outcome) -> str:
    """Return what is known of the threshold."""
    policy = outcome.policy
    rule = f"the small model answers at a calibrated confidence of {policy.threshold:.3f} or more"
    if policy.certificate is not None:
        return f"{rule}; {policy.certificate.claim()}."
    return (
        f"{rule}. That is not certified: {outcome.shortfall}. Instead, the less confident half of the calibration rows "
        "is deferred."
    )


def score_table(outcome: Outcome, split: Split, model: str) -> Table:
    """Return who did how well, and at what price."""
    reviews = len({row.review for row in split.test})
    table = Table(
        title=f"{len(split.test)} test sentences of {reviews} reviews, intervals of 95 %; LLM: {model}",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for heading in ("accuracy", "cascade gains", "LLM\ncalls", "LLM\ntokens", "\ntime"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in outcome.scores:
        table.add_row(each.name, *_cells(each), style="bold" if each.cascade_gain is None else None)
    return table


def _cells(score: Score) -> tuple[str, ...]:
    gain = score.cascade_gain
    return (
        f"{100 * score.accuracy:.1f} {_shown(score.interval, '.0f')}",
        "" if gain is None else f"{100 * gain:+.1f} {_shown(score.cascade_gain_interval, '+.1f')}",
        f"{100 * score.large_call_share:.0f} %",
        "" if score.large_tokens is None else f"{score.large_tokens:,}",
        "" if score.seconds is None else f"{score.seconds:.0f} s",
    )


def _shown(interval: Interval | None, form: str) -> str:
    return "(mean)" if interval is None else f"({100 * interval[0]:{form}}, {100 * interval[1]:{form}})"


def selective_sentence(outcome: Outcome) -> str:
    """Return how the small model did on what it kept."""
    n, accepted = len(outcome.rows), len(outcome.accepted)
    if not accepted:
        return "The small model was sure of no test sentence; all went to the LLM."
    wrong = sum(not row.right for row in outcome.accepted)
    return (
        f"The small model answered {accepted} of {n} sentences itself, {wrong} of them wrongly "
        f"({100 * wrong / accepted:.1f} %); the LLM was asked about the other {n - accepted}."
    )


def example_lines(example: Example) -> str:
    """Return a test sentence, and what happened to it, with rich's markup."""
    text, record = example.snippet.text, example.record
    shortened = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    confidence = "unknown" if record["confidence"] is None else f"{record['confidence']:.2f}"
    llm = "the LLM was not asked" if example.reply is None else f"the LLM says {example.reply}"
    verdict = "[green]right[/]" if example.right else "[red]wrong[/]"
    return (
        f"[bold]{'accepted' if example.accepted else 'deferred'}[/]  {escape(shortened)}\n"
        f"          people say {example.snippet.label} ({example.snippet.rating:+.1f}); the small model says "
        f"{record['label']} {confidence}; {escape(llm)}\n"
        f"          answer {example.answer}: {verdict}"
    )


def closing_sentence(outcome: Outcome, split: Split, model: str) -> str:
    """Return, in one sentence, what the figures do and do not show."""
    alone = next(each for each in outcome.scores if each.name == "LLM alone")
    cascade = next(each for each in outcome.scores if each.name == "cascade")
    low, high = alone.cascade_gain_interval or (0.0, 0.0)
    found = "more accurate than" if low > 0 else "less accurate than" if high < 0 else "not told apart in accuracy from"
    stands_for = (
        "a model of 135 million parameters, which stands for no large model's quality or price"
        if model == MODEL
        else "and of no other"
    )
    return (
        f"On these {len(split.test)} sentences the cascade is {found} {model} alone, with "
        f"{100 * cascade.large_call_share:.0f} % of its calls and after {len(split.train)} labels for training and "
        f"{len(split.calibration)} for the policy; it holds for sentences like these (those that "
        f"people found neutral were left out) and for {model}, {stands_for}."
    )


def as_json(outcome: Outcome, split: Split) -> dict[str, Any]:
    """Return the figures as plain JSON."""
    return {
        "train_rows": len(split.train),
        "calibration_rows": len(split.calibration),
        "test_rows": len(split.test),
        "policy": outcome.policy.to_dict(),
        "shortfall": outcome.shortfall,
        "scores": [asdict(each) for each in outcome.scores],
        "invalid_replies": outcome.invalid_replies,
        "rows": [
            {
                "text": each.snippet.text,
                "review": each.snippet.review,
                "label": each.snippet.label,
                "rating": each.snippet.rating,
                "record": each.record,
                "reply": each.reply,
                "answer": each.answer,
            }
            for each in outcome.rows
        ],
    }
