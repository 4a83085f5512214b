"""Ids that a stream has shown, beyond what memory holds."""

from __future__ import annotations

from tardif.data.seen import SeenTexts


def test_an_id_is_known_by_its_first_digest():
    with SeenTexts() as seen:
        for number in range(20_000):
            assert seen.put(f"d-{number % 10_000}", str(number)) == (str(number - 10_000) if number >= 10_000 else None)
        assert len(seen) == 10_000
