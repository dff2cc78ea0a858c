"""The hard-sample log."""

from __future__ import annotations

from langchain_datashunt.store.estimates import AuditEstimates
from langchain_datashunt.store.hard_sample_store import HardSampleStore
from langchain_datashunt.store.queries import Loss, RouteStats, StoreStats, TrafficCount
from langchain_datashunt.store.tally import StoreHealth

__all__ = ["AuditEstimates", "HardSampleStore", "Loss", "RouteStats", "StoreHealth", "StoreStats", "TrafficCount"]
