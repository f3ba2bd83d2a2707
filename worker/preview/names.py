"""Which set is meant by a scene's name, or by a prompt's words if the name is nobody's?"""

from __future__ import annotations

import re
from typing import Final

FALLBACK: Final = "studio"
_WORDS: Final = {
    "golden-hour-kitchen": "kitchen golden hour countertop counter cooking breakfast sunset",
    "sunny-beach": "beach sea ocean sand seaside coast shore tropical summer lagoon",
    "living-room": "living sofa couch lounge home interior cosy cozy scandinavian sideboard",
    "bedroom": "bedroom bed bedside nightstand linen sleep duvet pillow",
    "bathroom-shelf": "bathroom bath shower spa tile tiles basin vanity washbasin",
    "home-office": "office desk workspace study work computer bookshelf",
    "garden-patio": "garden patio terrace balcony lawn backyard outdoor veranda deck",
    "cafe-table": "cafe coffee bistro restaurant bar coffeehouse espresso",
    "marble-studio": "marble luxury elegant pedestal plinth jewellery jewelry perfume",
    "dark-studio": "dark black moody night dramatic noir low-key",
    "loft": "loft industrial brick concrete warehouse factory",
    "forest-clearing": "forest wood woods tree trees moss nature trail camping mountain hiking",
    "winter-window": "winter snow snowy frost ice cold january window",
    "festive-table": "festive christmas holiday holidays party celebration gift lights",
    "studio": "studio plain seamless neutral packshot backdrop white",
}

SETS: Final = tuple(_WORDS)


def set_named(scene: str, prompt: str) -> str:
    """Choose a set: by its name, by words in the name, by words in the prompt, or the studio."""
    name = re.sub(r"[^a-z0-9]+", "-", scene.lower()).strip("-")
    if name in _WORDS:
        return name
    return _likeliest(name) or _likeliest(prompt) or FALLBACK


def _likeliest(text: str) -> str | None:
    said = re.findall(r"[a-z]+", text.lower()[:4000])
    scores = {
        name: sum(said.count(word) for word in words.split()) for name, words in _WORDS.items()
    }
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else None
