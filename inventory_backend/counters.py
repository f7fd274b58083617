"""What the till counts; labels are words of this program or names from the configuration: the series are bounded."""

from prometheus_client import Counter, Gauge

HOLDS = Counter(
    "waitroom_till_holds", "Requests to hold units, by outcome: held, replayed, or the refusal.", ["outcome"]
)
WAITLIST = Counter(
    "waitroom_till_waitlist", "Wishes to wait for units, by outcome: joined, known, left, or the refusal.", ["outcome"]
)
HOLDS_EXPIRED = Counter("waitroom_till_holds_expired", "Holds that nobody paid in time.")
PAYMENTS = Counter("waitroom_till_payments", "Payments that came to an end, by the state they ended in.", ["state"])
GATEWAY_FAILURES = Counter("waitroom_till_gateway_failures", "Calls to the gateway that must be made again.")
GATEWAY_PAUSES = Counter("waitroom_till_gateway_pauses", "Times that the gateway asked for fewer calls.")
GATEWAY_NEWS = Counter("waitroom_till_gateway_news", "Genuine webhooks of the gateway: new, known, unknown.", ["word"])
GATEWAY_DIFFERENCES = Gauge(
    "waitroom_till_gateway_differences",
    "Differences between the ledger and the gateway's books in the last comparison, by kind.",
    ["kind"],
    multiprocess_mode="mostrecent",
)
REBUILDS = Counter("waitroom_till_rebuilds", "How often the stock was put into Redis from the ledger.", ["sale"])
DRIFT = Gauge(
    "waitroom_till_drift_units",
    "Units that Redis had free too many (or, below 0, too few) when it was last compared with the ledger.",
    ["sale", "sku"],
    multiprocess_mode="mostrecent",
)
STREAMS = Gauge("waitroom_till_streams", "Browsers that watch the stock as it changes.", multiprocess_mode="livesum")
STOCK_REPORTS = Counter(
    "waitroom_till_stock_reports", "Reports of the stock to a room, by outcome: heard or failed.", ["room", "outcome"]
)
DELIVERIES = Counter("waitroom_till_deliveries", "Tries to deliver a confirmation, by what became.", ["sink", "fate"])
DELIVERIES_WAITING = Gauge(
    "waitroom_till_deliveries_waiting",
    "Confirmations that a sink has not taken yet.",
    ["sink"],
    multiprocess_mode="mostrecent",
)
DEAD_LETTERS = Gauge(
    "waitroom_till_dead_letters",
    "Confirmations that were given up: see `python -m inventory_backend dead-letters`.",
    ["sink"],
    multiprocess_mode="mostrecent",
)
