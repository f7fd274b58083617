"""Workers and whoever stands in for visitors pose and verify under the same keys and the same event."""

from waitroom.kernel.tokens import Keys
from waitroom.rules.posing import challenge_keys, event_text


def test_the_same_secrets_are_the_same_keys_and_others_are_not(keys: Keys) -> None:
    other = Keys([b"another-secret-that-is-32-bytes-long"])

    assert challenge_keys(keys) == challenge_keys(keys) != challenge_keys(other)


def test_after_a_change_of_secrets_the_elder_keys_still_verify() -> None:
    elder, both = (challenge_keys(Keys(secrets)).by_kid for secrets in ([b"e" * 32], [b"e" * 32, b"n" * 32]))

    assert elder.items() <= both.items()
    assert len(both) == 2


def test_an_event_belongs_to_its_room() -> None:
    texts = {event_text(room, event) for room in ("drop", "early") for event in ("first", "second")}

    assert len(texts) == 4
