"""What the proxy counts; every worker counts for itself, and the ops process adds them up at a scrape."""

from prometheus_client import Counter, Gauge, Histogram

ANSWERS = Counter(
    "waitroom_upstream_answers",
    "Answers carried from an upstream, by class: 1xx to 5xx, or error when there was none.",
    ["upstream", "status_class"],
)
UPSTREAM_SECONDS = Histogram(
    "waitroom_upstream_seconds",
    "Seconds until the first byte of an upstream's answer.",
    ["upstream"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
IN_FLIGHT = Gauge(
    "waitroom_upstream_in_flight",
    "Requests now under way to an upstream.",
    ["upstream"],
    multiprocess_mode="livesum",
)


def status_class(status: int) -> str:
    """Return the class of a status code as the label has it: "2xx" for 204, "error" for what is no status."""
    return f"{status // 100}xx" if 100 <= status <= 599 else "error"
