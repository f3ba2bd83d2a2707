"""What does a call cost at list price?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.models import load_models
from catalog.money import Usd

if TYPE_CHECKING:
    from worker.simulator.books import Lane
    from worker.simulator.tokens import Usage


def list_price(model: str, usage: Usage, lane: Lane = "standard") -> Usd:
    """The price of what a call reported; nothing for a model that nobody lists."""
    listed = load_models().find(model)
    return listed.cost(usage, size=None, lane=lane) if listed else Usd()
