"""The hard-sample log."""

from __future__ import annotations

from langchain_datashunt.store.estimates import AuditEstimates
from langchain_datashunt.store.hard_sample_store import HardSampleStore, StoreHealth
from langchain_datashunt.store.queries import Loss, RouteStats, StoreStats, TrafficCount

__all__ = ["AuditEstimates", "HardSampleStore", "Loss", "RouteStats", "StoreHealth", "StoreStats", "TrafficCount"]
