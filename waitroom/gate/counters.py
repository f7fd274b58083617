"""What the gate counts; every worker counts for itself, and the ops process adds them up at a scrape.

Labels are words of this module and names from the configuration, nothing that a visitor could invent: the series
are bounded.
"""

from prometheus_client import Counter, Gauge

WORKER_STARTED = Gauge(
    "waitroom_worker_started_timestamp_seconds",
    "When this worker began to serve, seconds since 1970; one series a live worker.",
    multiprocess_mode="liveall",
)
REQUESTS = Counter(
    "waitroom_requests",
    "Requests that reached a room, by what became of them: forward, enter, wait, refuse.",
    ["room", "outcome"],
)
CHALLENGES_POSED = Counter("waitroom_challenges_posed", "Challenges given out.", ["room"])
CHALLENGES_SOLVED = Counter("waitroom_challenges_solved", "Solutions that were right.", ["room"])
CHALLENGES_REFUSED = Counter(
    "waitroom_challenges_refused", "Solutions that were refused, by the kind of the problem.", ["room", "reason"]
)
JOINS = Counter(
    "waitroom_joins", "Tickets given out: new, or known when the same one was asked again.", ["room", "outcome"]
)
CLAIMS = Counter(
    "waitroom_claims",
    "Claims by outcome: admitted, not-called, lapsed, ended.",
    ["room", "outcome"],
)
STOCK_REPORTS = Counter(
    "waitroom_stock_reports",
    "Reports of what the store has left, by what became of them: taken, or the kind of the problem.",
    ["room", "outcome"],
)
STORE_FAILURES = Counter("waitroom_redis_failures", "Calls to Redis that failed or came too late.", ["operation"])
FRONT_REFUSALS = Counter(
    "waitroom_forward_auth_refusals", "Questions for forward auth that were none, by the kind of the problem.", ["kind"]
)
STREAMS = Gauge(
    "waitroom_streams",
    "Connections that follow the pulse of a room as it changes, as events or by websocket.",
    ["room"],
    multiprocess_mode="livesum",
)
