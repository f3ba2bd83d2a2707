"""How does a picture get smaller?"""

from __future__ import annotations

from PIL import Image


def shrink(picture: Image.Image, size_px: tuple[int, int]) -> Image.Image:
    """Resample to ``size_px``; a picture of that size comes back as it is.

    A box filter takes the first part of a long way: half the CPU, and 0.997 or more of SSIM against
    Lanczos all the way (measured 2026-11).
    """
    if picture.size == size_px:
        return picture
    return picture.resize(size_px, Image.Resampling.LANCZOS, reducing_gap=2.0)
