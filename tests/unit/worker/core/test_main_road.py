"""Does an import come to its manifest, bought once?"""

from __future__ import annotations

from tests.support.desk import PRICE, Workplace, wanted


def test_every_slot_is_bought_once_and_published() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen", "beach")], [wanted("lamp", "kitchen")])

    place.run()

    assert place.statuses("monday") == {"succeeded": 3}
    assert place.manifest("monday").cost_usd.spent == PRICE * 3
    place.assert_manifests_hold()
    assert place.sold == {"mug in the kitchen": 1, "mug in the beach": 1, "lamp in the kitchen": 1}
