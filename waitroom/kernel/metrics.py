"""Counters that are right over several processes: each writes a file of its own, the ops process adds them up."""

import os
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which the supervisor tells its processes where to count; it must be set before they start."""


def registry() -> CollectorRegistry:
    """Return a registry that sums what all processes have counted; a process on its own gives what it has."""
    if not os.environ.get(FOLDER):
        return REGISTRY
    summed = CollectorRegistry()
    MultiProcessCollector(summed)  # type: ignore[no-untyped-call]  # prometheus-client has no types here
    return summed


def exposition(summed: CollectorRegistry) -> bytes:
    """Return the metrics as text (Prometheus exposition format 0.0.4)."""
    return generate_latest(summed)


def forget_process(pid: int) -> None:
    """Drop the live gauges of a process that died; its counters stay counted."""
    if os.environ.get(FOLDER):
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus-client has no types here


def fresh_folder(folder: Path) -> Path:
    """Return `folder`, made and emptied: counts of an earlier run must not be added to this one's."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    return folder
