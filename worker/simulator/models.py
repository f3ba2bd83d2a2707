"""Which image models does the simulator sell, and what does each of them accept?

A table of its own, apart from the product's model table on purpose: a mistake there has to show
here as a refused request. Figures are those of Google's image generation guide and model cards
as of 2026-11-22; where a card is silent (the 2.1 pixel table beyond 1:1 and 16:9, input tokens
of the Pro and 2.5 models) the figures of the sister model stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Pixels = tuple[int, int]

INPUT_IMAGE_TOKENS: Final = 1120
DEFAULT_SIZE: Final = "1K"
DEFAULT_RATIO: Final = "1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireModel:
    """A model as the API describes it; ``thinking_levels`` starts with the default."""

    name: str
    display_name: str
    pixels: Mapping[str, Mapping[str, Pixels]]
    output_tokens: Mapping[str, int]
    thinking_levels: tuple[str, ...]
    media_type: str
    input_token_limit: int
    output_token_limit: int
    max_images: int = 14

    @property
    def sizes(self) -> tuple[str, ...]:
        """The values of ``imageSize`` that this model accepts."""
        return tuple(self.output_tokens)

    def ratios(self, *, vertex: bool) -> tuple[str, ...]:
        """The values of ``aspectRatio`` that this model accepts on a platform."""
        return tuple(ratio for ratio in self.pixels if vertex or ratio not in VERTEX_ONLY_RATIOS)


def _with_swapped(rows: Mapping[str, Mapping[str, Pixels]]) -> Mapping[str, Mapping[str, Pixels]]:
    table: dict[str, Mapping[str, Pixels]] = {}
    for ratio, row in rows.items():
        across, down = ratio.split(":")
        table[ratio] = row
        table[f"{down}:{across}"] = (
            {size: (height, width) for size, (width, height) in row.items()}
            if across != down
            else row
        )
    return MappingProxyType(table)


# 21:9 at 512 is 792x168 in the documentation and in users' measurements, odd as it looks.
_PIXELS: Final = _with_swapped(
    {
        "1:1": {"512": (512, 512), "1K": (1024, 1024), "2K": (2048, 2048), "4K": (4096, 4096)},
        "1:4": {"512": (256, 1024), "1K": (512, 2048), "2K": (1024, 4096), "4K": (2048, 8192)},
        "1:8": {"512": (192, 1536), "1K": (384, 3072), "2K": (768, 6144), "4K": (1536, 12288)},
        "2:3": {"512": (424, 632), "1K": (848, 1264), "2K": (1696, 2528), "4K": (3392, 5056)},
        "3:4": {"512": (448, 600), "1K": (896, 1200), "2K": (1792, 2400), "4K": (3584, 4800)},
        "4:5": {"512": (464, 576), "1K": (928, 1152), "2K": (1856, 2304), "4K": (3712, 4608)},
        "9:16": {"512": (384, 688), "1K": (768, 1376), "2K": (1536, 2752), "4K": (3072, 5504)},
        "21:9": {"512": (792, 168), "1K": (1584, 672), "2K": (3168, 1344), "4K": (6336, 2688)},
    }
)
_LONG_RATIOS: Final = frozenset({"1:4", "4:1", "1:8", "8:1"})
_PIXELS_WITHOUT_LONG: Final = MappingProxyType(
    {ratio: row for ratio, row in _PIXELS.items() if ratio not in _LONG_RATIOS}
)
_PIXELS_2_5: Final = _with_swapped(
    {
        "1:1": {"1K": (1024, 1024)},
        "2:3": {"1K": (832, 1248)},
        "3:4": {"1K": (864, 1184)},
        "4:5": {"1K": (896, 1152)},
        "9:16": {"1K": (768, 1344)},
        "21:9": {"1K": (1536, 672)},
    }
)
VERTEX_ONLY_RATIOS: Final = frozenset({"9:21"})

MODELS: Final[Mapping[str, WireModel]] = MappingProxyType(
    {
        model.name: model
        for model in (
            WireModel(
                name="gemini-nano-banana-2.1",
                display_name="Nano Banana 2.1",
                pixels=_PIXELS,
                output_tokens={"1K": 1120, "2K": 1680, "4K": 2520},
                thinking_levels=("medium", "minimal", "high"),
                media_type="image/jpeg",
                input_token_limit=131_072,
                output_token_limit=32_768,
            ),
            WireModel(
                name="gemini-3.1-flash-image",
                display_name="Nano Banana 2",
                pixels=_PIXELS,
                output_tokens={"512": 747, "1K": 1120, "2K": 1680, "4K": 2520},
                thinking_levels=("minimal", "high"),
                media_type="image/jpeg",
                input_token_limit=131_072,
                output_token_limit=32_768,
            ),
            WireModel(
                name="gemini-3.1-flash-lite-image",
                display_name="Nano Banana 2 Lite",
                pixels=_PIXELS,
                output_tokens={"1K": 1120},
                thinking_levels=("minimal", "high"),
                media_type="image/jpeg",
                input_token_limit=65_536,
                output_token_limit=4_096,
            ),
            WireModel(
                name="gemini-3-pro-image",
                display_name="Nano Banana Pro",
                pixels=_PIXELS_WITHOUT_LONG,
                output_tokens={"1K": 1120, "2K": 1120, "4K": 2000},
                thinking_levels=("high", "low"),
                media_type="image/jpeg",
                input_token_limit=65_536,
                output_token_limit=32_768,
            ),
            WireModel(
                name="gemini-2.5-flash-image",
                display_name="Nano Banana",
                pixels=_PIXELS_2_5,
                output_tokens={"1K": 1290},
                thinking_levels=(),
                media_type="image/png",
                input_token_limit=32_768,
                output_token_limit=32_768,
            ),
        )
    }
)


def closest_ratio(model: WireModel, width_px: int, height_px: int) -> str:
    """The ratio the model answers with when none is asked for and a picture is given."""
    wanted = width_px / height_px
    return min(
        model.ratios(vertex=False),
        key=lambda ratio: abs(_shape(model.pixels[ratio][DEFAULT_SIZE]) - wanted),
    )


def _shape(pixels: Pixels) -> float:
    width_px, height_px = pixels
    return width_px / height_px
