"""A crowd is mixed, and can be drawn again."""

from collections import Counter
from ipaddress import ip_address, ip_network

from waitroom.cli.visitors.nature import Intent, nature


def test_the_same_seed_gives_the_same_crowd() -> None:
    assert [nature(b"seed", number) for number in range(50)] == [nature(b"seed", number) for number in range(50)]
    assert nature(b"seed", 1) != nature(b"other", 1)


def test_most_come_to_buy_and_some_do_everything_else() -> None:
    crowd = [nature(b"seed", number) for number in range(1000)]
    intents, cards = Counter(one.intent for one in crowd), Counter(one.card for one in crowd)

    assert set(intents) == set(Intent)
    assert intents[Intent.BUY] > 700
    assert set(cards) == {"card_ok", "card_declined", "card_3ds", "card_slow", "card_error"}
    assert cards["card_ok"] > 700
    assert 0.25 < sum(one.arrives for one in crowd) / 1000 < 0.75


def test_everybody_has_a_network_of_their_own_among_those_that_are_nobodys() -> None:
    addresses = [ip_address(nature(b"seed", number).address) for number in range(1000)]
    nobodys = [ip_network("198.18.0.0/15"), ip_network("2001:db8::/32")]

    assert all(any(one in network for network in nobodys) for one in addresses)
    assert len({ip_network((one, 24 if one.version == 4 else 48), strict=False) for one in addresses}) == 1000
