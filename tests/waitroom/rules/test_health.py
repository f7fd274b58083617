"""What the public is told of an upstream's health."""

from waitroom.rules.health import Circuit, Health, told


def test_while_all_is_well_there_is_nothing_to_tell() -> None:
    assert Health().is_well
    assert told(Health()) is None


def test_a_slowed_room_says_by_how_much() -> None:
    assert told(Health(0.123456, Circuit.CLOSED, 5, 74.0)) == {"ratio": 0.123, "circuit": "closed"}


def test_an_outage_is_told() -> None:
    assert told(Health(1.0, Circuit.HALF_OPEN)) == {"ratio": 1.0, "circuit": "half_open"}
