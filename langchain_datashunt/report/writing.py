"""`write_report`: from a hard-sample log to one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_datashunt import __version__
from langchain_datashunt.errors import HardSampleStoreError, MissingExtraError, PolicyError
from langchain_datashunt.policy.costs import Prices
from langchain_datashunt.policy.shunt_policy import ShuntPolicy, require_policy

if TYPE_CHECKING:
    from langchain_datashunt.bounds.live_bound import LiveBound
    from langchain_datashunt.registry.model_registry import ModelRegistry
    from langchain_datashunt.report.labelled_section import LabelledRows
    from langchain_datashunt.report.parts import Page
    from langchain_datashunt.store import HardSampleStore

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    store: HardSampleStore,
    path: str | Path,
    *,
    policy: ShuntPolicy | None = None,
    policy_id: str | None = None,
    tenant: str | None = None,
    prices: Prices | None = None,
    bounds: Sequence[LiveBound] = (),
    labelled: LabelledRows | None = None,
    registry: ModelRegistry | None = None,
    title: str = "What the shunt did",
    show_inputs: bool = True,
) -> None:
    """Write the report: one HTML file that needs nothing else, no network and no scripts.

    It holds inputs of users (some dozens, cut) unless `show_inputs` is False; whatever they contain is shown as text.

    Args:
        store: The log.
        path: The file; it is replaced.
        policy: The policy in use; it brings the certificate, and is the one that the quality of answers is told of.
        policy_id: Only this policy's requests. By default all are counted, and quality is told of the policy in use.
        tenant: Only this tenant's requests.
        prices: The user's; without them the bill is counted in tokens.
        bounds: Live bounds, to be shown.
        registry: Of the small model's versions; its versions and promotions are shown.
        labelled: Labelled rows that had no part in the policy, to be scored beside the log. They need `policy`.
        title: Of the page.
        show_inputs: Whether inputs may stand in it.

    Raises:
        HardSampleStoreError: There is nothing to report on, or the log cannot be read.
        PolicyError: `policy` is none, or labelled rows are without one.
        RegistryError: The registry cannot be read.
        PolicyMismatchError: `policy` has another id than `policy_id`.
        MissingExtraError: Jinja2 or SciPy is not installed.

    Example:
        .. code-block:: python

            prices = Prices(input=0.25, output=2.00, currency="USD")
            write_report(HardSampleStore("samples.db"), "report.html", policy=policy, prices=prices)
    """
    if not callable(getattr(store, "stats", None)):
        raise HardSampleStoreError(
            f'a report reads a HardSampleStore, as HardSampleStore("samples.db"); got {store!r:.80}'
        )
    if prices is not None and not isinstance(prices, Prices):
        raise TypeError(f"prices are Prices(input=..., output=...); got {prices!r:.80}")
    if policy is not None:
        require_policy(policy)
    if labelled is not None and policy is None:
        raise PolicyError("labelled rows are scored with a policy; give policy=ShuntPolicy.load(...) too")
    try:
        from langchain_datashunt.report.contents import page_of  # noqa: PLC0415  needs MarkupSafe, an extra
        from langchain_datashunt.report.facts import find_facts  # noqa: PLC0415  needs SQLAlchemy
    except ImportError as error:
        raise MissingExtraError("the report", "report") from error
    facts = find_facts(
        store,
        policy=policy,
        policy_id=policy_id,
        tenant=tenant,
        prices=prices,
        bounds=bounds,
        show_inputs=show_inputs,
    )
    page = page_of(
        facts,
        labelled=labelled,
        registry=registry,
        tenant=tenant,
        title=title,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    Path(path).write_text(rendered(page), encoding="utf-8")


def rendered(page: Page) -> str:
    """Return the page as HTML. Its policy allows its one style sheet, by hash, and nothing else."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  an extra

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("report.html").render(page=page, style=style, style_hash=f"sha256-{digest}")
