"""What is counted of the connections that clients have; the ops process adds up what all workers count."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge(
    "waitroom_connections",
    "Connections that clients have open now.",
    multiprocess_mode="livesum",
)
CONNECTIONS_CUT = Counter(
    "waitroom_connections_cut",
    "Connections that were ended or refused, by what they were one too many of, or did too slowly.",
    ["why"],
)
