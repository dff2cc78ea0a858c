"""Reading the log: single samples, training samples, statistics, and those nearest to a confidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text

from langchain_datashunt.errors import HardSampleStoreError
from langchain_datashunt.store.databases import reading
from langchain_datashunt.store.migrations import TRAINABLE
from langchain_datashunt.store.rows import sample_of, seconds, tag_key
from langchain_datashunt.types import HardSample

_PAGE = 500

_ANSWERS = text("SELECT sample_id, label, n FROM answers WHERE sample_id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
_STATS = """SELECT tenant, policy_id, route, COUNT(*) AS n, SUM(complete_count) AS complete,
        SUM(incomplete_count) AS incomplete, SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens,
        SUM(CASE WHEN quality = 2 THEN 1 ELSE 0 END) AS trainable, COUNT(gold) AS gold
    FROM samples {where} GROUP BY tenant, policy_id, route ORDER BY tenant, policy_id, route"""
_TRAFFIC = "SELECT tenant, policy_id, route, day, n FROM traffic {where} ORDER BY day, tenant, policy_id, route"
# A model that failed has its name in the record; an imported text with a label has none.
_LARGE_ANSWERS = """SELECT input_hash, teacher, label, SUM(n) AS n FROM (
        SELECT input_hash, teacher, answers.label AS label, COALESCE(n, 0) AS n
        FROM samples LEFT JOIN answers ON answers.sample_id = samples.id
        WHERE input_hash IN :hashes AND tenant = :tenant AND parent_id IS NULL
            AND teacher <> ''{more}
    ) AS answered GROUP BY input_hash, teacher, label ORDER BY n, label DESC"""
# two walks along the index, one to either side, then the nearest of both
_NEAREST = """SELECT * FROM (
        SELECT * FROM (SELECT * FROM samples WHERE tenant = :tenant AND confidence >= :confidence
                       ORDER BY confidence LIMIT :limit) AS above
        UNION ALL
        SELECT * FROM (SELECT * FROM samples WHERE tenant = :tenant AND confidence < :confidence
                       ORDER BY confidence DESC LIMIT :limit) AS below
    ) AS nearest ORDER BY ABS(confidence - :confidence), seq LIMIT :limit"""


@dataclass(frozen=True, slots=True)
class RouteStats:
    """Counts of one tenant, policy and route.

    Attributes:
        tenant: Whose traffic it is.
        policy_id: The policy; ``""`` without one.
        route: Who answered.
        samples: Different hard samples.
        complete: Sightings that ended well.
        incomplete: Sightings that did not.
        trainable: Samples with a label of a language model that may train.
        gold: Samples with a label of a person.
        input_tokens: Tokens of all their prompts.
        output_tokens: Tokens of all their replies.
    """

    tenant: str
    policy_id: str
    route: str
    samples: int
    complete: int
    incomplete: int
    trainable: int
    gold: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class TrafficCount:
    """How many requests of a day one route answered; counts of the last seconds before a crash may be missing."""

    tenant: str
    policy_id: str
    route: str
    day: str
    requests: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Records that could not be kept, and why."""

    since: float
    until: float
    records: int
    reason: str


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a log holds, and what it lost."""

    routes: tuple[RouteStats, ...]
    traffic: tuple[TrafficCount, ...]
    losses: tuple[Loss, ...]


def get_sample(engine: Engine, id_: str) -> HardSample | None:
    """Return the sample with this id, None where there is none."""
    with reading(engine) as connection:
        found = _samples(connection, text("SELECT * FROM samples WHERE id = :id"), {"id": id_})
    return found[0][1] if found else None


def iter_samples(
    engine: Engine,
    *,
    tenant: str | None,
    policy_id: str | None,
    route: str | None,
    tag: str | None,
    since: float | None,
    trainable_only: bool,
) -> Iterator[HardSample]:
    """Yield samples in the order of their arrival, page by page; no transaction stays open between pages."""
    conditions = ["seq > :after", *_equal(tenant=tenant, policy_id=policy_id, route=route)]
    if trainable_only:
        conditions.append(TRAINABLE)
    if since is not None:
        conditions.append("last_seen >= :since")
    if tag is not None:
        conditions.append("id IN (SELECT sample_id FROM tags WHERE tag = :tag)")
    query = text(f"SELECT * FROM samples WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT {_PAGE}")  # noqa: S608  constants; values are bound
    given = {"tenant": tenant, "policy_id": policy_id, "route": route}
    parameters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if since is not None:
        parameters["since"] = seconds("since", since)
    if tag is not None:
        parameters["tag"] = tag_key(tag)
    after = -1
    while True:
        with reading(engine) as connection:
            page = _samples(connection, query, {**parameters, "after": after})
        if not page:
            return
        yield from (sample for _, sample in page)
        after = page[-1][0]


def nearest_samples(engine: Engine, confidence: float, *, limit: int, tenant: str) -> list[HardSample]:
    """Return the samples whose confidence is nearest to `confidence`, nearest first."""
    parameters = {"confidence": confidence, "limit": limit, "tenant": tenant}
    with reading(engine) as connection:
        return [sample for _, sample in _samples(connection, text(_NEAREST), parameters)]


def stats(engine: Engine, *, tenant: str | None) -> StoreStats:
    """Count samples, requests and losses."""
    where = "" if tenant is None else "WHERE tenant = :tenant"
    parameters = {} if tenant is None else {"tenant": tenant}
    with reading(engine) as connection:
        routes = connection.execute(text(_STATS.format(where=where)), parameters).all()
        traffic = connection.execute(text(_TRAFFIC.format(where=where)), parameters).all()
        losses = connection.execute(text("SELECT since, until, n, reason FROM losses ORDER BY since")).all()
    return StoreStats(
        tuple(
            RouteStats(
                tenant=row.tenant,
                policy_id=row.policy_id,
                route=row.route,
                samples=row.n,
                complete=int(row.complete),
                incomplete=int(row.incomplete),
                trainable=int(row.trainable),
                gold=row.gold,
                input_tokens=int(row.input_tokens),
                output_tokens=int(row.output_tokens),
            )
            for row in routes
        ),
        tuple(TrafficCount(*row) for row in traffic),
        tuple(Loss(*row) for row in losses),
    )


def large_answers(
    engine: Engine, hashes: Sequence[str], *, policy_id: str | None, tenant: str, teacher: str | None
) -> list[str | None]:
    """Return the most frequent answer to each input; None where there was none that names a label.

    Raises:
        HardSampleStoreError: An input is not in the log, several models have answered, or none has.
    """
    more = "".join(f" AND {condition}" for condition in _equal(policy_id=policy_id, teacher=teacher))
    query = text(_LARGE_ANSWERS.format(more=more)).bindparams(bindparam("hashes", expanding=True))
    parameters = {"policy_id": policy_id, "teacher": teacher, "tenant": tenant}
    given = {name: value for name, value in parameters.items() if value is not None}
    found: dict[str, str | None] = {}
    teachers: set[str] = set()
    with reading(engine) as connection:
        for first in range(0, len(hashes), _PAGE):
            rows = connection.execute(query, {**given, "hashes": list(hashes[first : first + _PAGE])}).all()
            found.update({row.input_hash: row.label for row in rows if row.label is None})
            found.update({row.input_hash: row.label for row in rows if row.label is not None})
            teachers.update(row.teacher for row in rows if row.label is not None)
    _check_answers(hashes, found, teachers)
    return [found[each] for each in hashes]


def _check_answers(hashes: Sequence[str], found: Mapping[str, str | None], teachers: set[str]) -> None:
    missing = sum(each not in found for each in hashes)
    if missing:
        raise HardSampleStoreError(
            f"the hard-sample log has no request of {missing} of {len(hashes)} inputs to the large model, so nothing "
            "says what it answers: send them through the chain in shadow mode (audit_rate=1.0)"
        )
    if len(teachers) > 1:
        raise HardSampleStoreError(f"several models have answered; name one with teacher=: {sorted(teachers)}")
    if len(hashes) and not teachers:
        raise HardSampleStoreError(f"no language model has answered any of the {len(hashes)} inputs with a label")


def known_ids(engine: Engine, ids: Sequence[str]) -> set[str]:
    """Return which of the ids the log has."""
    query = text("SELECT id FROM samples WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
    with reading(engine) as connection:
        return set(connection.execute(query, {"ids": list(ids)}).scalars())


def _equal(**columns: Any) -> list[str]:
    return [f"{name} = :{name}" for name, value in columns.items() if value is not None]


def _samples(connection: Connection, query: Any, parameters: dict[str, Any]) -> list[tuple[int, HardSample]]:
    rows = connection.execute(query, parameters).mappings().all()
    answers: dict[str, dict[str, int]] = defaultdict(dict)
    if rows:
        for id_, label, n in connection.execute(_ANSWERS, {"ids": [row["id"] for row in rows]}):
            answers[id_][label] = n
    return [(row["seq"], sample_of(dict(row), answers[row["id"]])) for row in rows]
