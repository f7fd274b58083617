"""What one worker sees of one room's upstream: how long answers take, which fail, and who may try in an outage."""

from dataclasses import dataclass

from waitroom.rules.health import NO_ANSWER, Circuit, HealthRules, Probe, Sample


@dataclass(slots=True)
class _Underway:
    """A request that has no answer yet; `began_s` is None where its time says nothing about the upstream."""

    began_s: float | None
    is_probe: bool
    is_counted: bool = False


class Watch:
    """Counts the requests to one upstream, and holds them back while its circuit is not closed.

    A request counts as slow from the moment it is over the target, not only when it ends: an upstream that hangs is
    noticed while it hangs. Times are seconds on a clock that never jumps; the caller reads it.
    """

    def __init__(self, rules: HealthRules) -> None:
        """Begin with nothing seen, and the circuit closed."""
        self._rules = rules
        self._circuit = Circuit.CLOSED
        self._underway: dict[int, _Underway] = {}
        self._last = 0
        self._seen = self._slow = self._failed = 0
        self._successes = 0
        self._probe_until_s: float | None = None
        self._outcome: Probe | None = None

    def heed(self, circuit: Circuit) -> None:
        """Take over the state that all workers share; what was under way before a change proves nothing after it."""
        if circuit is self._circuit:
            return
        self._circuit = circuit
        self._successes = 0
        self._probe_until_s = self._outcome = None
        if circuit is not Circuit.CLOSED:
            self._underway.clear()
            self._seen = self._slow = self._failed = 0

    def begin(self, at_s: float, *, is_plain: bool, is_timed: bool = True) -> int | None:
        """Return the number of a request that may go to the upstream now; None where it may not.

        There are three cases:
        1. the circuit is closed: all go;
        2. it is half open: one more at a time with each that succeeded, so that who waited does not come as one;
        3. it is open: one plain request goes as a probe, where this worker was given one.

        A request is plain when sending it in vain does no harm. One that uploads a body at the visitor's pace is not
        timed.
        """
        is_probe = self._circuit is Circuit.OPEN
        if is_probe:
            if not is_plain or self._probe_until_s is None or self._probes():
                return None
        elif self._circuit is Circuit.HALF_OPEN and len(self._underway) > self._successes:
            return None
        self._last += 1
        self._underway[self._last] = _Underway(at_s if is_timed else None, is_probe)
        return self._last

    def end(self, number: int, status: int | None, at_s: float) -> None:
        """Take the status a request came back with; None where it had no answer for a reason of its own.

        A number that ended before, or that is of before a change of the circuit, says nothing.
        """
        one = self._underway.pop(number, None)
        if one is None:
            return
        has_failed = status in NO_ANSWER or status in self._rules.failure_status_codes
        if one.is_probe:
            self._outcome = None if status is None else Probe.FAILED if has_failed else Probe.PASSED
            self._probe_until_s = self._probe_until_s if status is None else None
            return
        if status is not None and not has_failed:
            self._successes += 1
        is_slow = not one.is_counted and self._is_late(one, at_s)
        is_new = is_slow or (status is not None and not one.is_counted)
        if is_new or has_failed:  # one that hung until it failed was slow first, and counts twice
            self._seen += 1
            self._failed += has_failed
            self._slow += is_slow and not has_failed

    def sample(self, at_s: float) -> Sample:
        """Return what was seen since the last sample."""
        for one in self._underway.values():
            if not one.is_probe and not one.is_counted and self._is_late(one, at_s):
                one.is_counted = True
                self._seen += 1
                self._slow += 1
        found = Sample(self._seen, self._slow, self._failed)
        self._seen = self._slow = self._failed = 0
        return found

    def grant(self, at_s: float) -> bool:
        """Let the next plain request go as a probe; return whether that is new."""
        if self._circuit is not Circuit.OPEN or self._probe_until_s is not None or self._outcome is not None:
            return False
        self._probe_until_s = at_s + self._rules.probe_interval_ms / 1000
        return True

    def outcome(self, at_s: float) -> Probe | None:
        """Return what came of the probe; None while it is under way, or while there is none."""
        if self._outcome is None and self._probe_until_s is not None and at_s >= self._probe_until_s:
            self._outcome = Probe.FAILED if self._probes() else Probe.UNUSED
            self._probe_until_s = None
            self._underway.clear()
        return self._outcome

    def settle(self) -> None:
        """Forget the outcome: it was heard."""
        self._outcome = None

    def _probes(self) -> bool:
        return any(one.is_probe for one in self._underway.values())

    def _is_late(self, one: _Underway, at_s: float) -> bool:
        return one.began_s is not None and (at_s - one.began_s) * 1000 > self._rules.target_ttfb_ms
