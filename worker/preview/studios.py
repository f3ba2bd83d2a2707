"""How are the studios drawn: paper, marble, black stone?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.preview import daylight, surfaces
from worker.preview.canvas import mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import COOL, WARM, finish_surface, half, onto, paired
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas


def studio(canvas: Canvas, variant: int) -> Mood:
    """A sweep of paper in a calm colour, with the shadow of a window."""
    tones = ("#d9d2c7", "#cdd3d1", "#d9c8b8", "#c9c6cf", "#d0d2c2")
    tone = rgb(tones[variant % 5])
    left = variant % 2 == 0
    far = half(canvas)
    daylight.wall(far, scaled(tone, 1.0), scaled(tone, 1.06), from_left=left, floor=0.62)
    daylight.window_light(
        far,
        from_left=left,
        top=0.04,
        foot=0.6,
        strength=0.12,
        colour=(1.08, 1.03, 0.96),
        leaves=variant % 3 != 0,
    )
    daylight.haze(far, from_left=left, colour=(1.0, 0.96, 0.9), strength=0.25)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.6, eye=0.2)
    paper = surfaces.stone(canvas.rng, floor, scaled(tone, 0.98), rough=0.25)
    finish_surface(canvas, floor, paper, left=left, sheen=(1.0, 0.97, 0.92), edge=0.16)
    return Mood(from_left=left, key=WARM, ambient=COOL, gloss=0.06, shadow=0.42, variant=variant)


def marble_studio(canvas: Canvas, variant: int) -> Mood:
    """Veined marble before a calm wall with the shadow of leaves."""
    left = variant % 2 == 0
    tone, vein = paired(
        variant,
        ("#e2ddd6", "#d8cfc8", "#d5dad8", "#e0d2c6", "#cfd0d8"),
        ("#8d8a86", "#a08c74", "#7f8a8a", "#9c8678", "#868a96"),
    )
    far = half(canvas)
    daylight.wall(far, tone, scaled(tone, 1.0), from_left=left, floor=0.62)
    daylight.window_light(
        far, from_left=left, top=-0.05, foot=0.62, strength=0.17, colour=(1.08, 1.04, 0.98)
    )
    arch = layer(far, from_left=left)
    x = 0.8 if left else 0.2
    arch.box((x, 0.66), (0.34, 0.16), scaled(tone, 0.9))
    arch.turned("vase", (x, 0.585), (0.15, 0.24), mix(tone, (1, 1, 1), 0.4))
    arch.lay(0.010)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.64, eye=0.34)
    finish_surface(
        canvas,
        floor,
        surfaces.marble(canvas.rng, floor, rgb("#ece9e4"), vein),
        left=left,
        sheen=(1, 0.99, 0.97),
        strength=0.12,
    )
    return Mood(
        from_left=left,
        key=WARM,
        ambient=COOL,
        gloss=0.24,
        shadow=0.36,
        hardness=0.4,
        variant=variant,
    )


def dark_studio(canvas: Canvas, variant: int) -> Mood:
    """A pool of light on black stone."""
    left = variant % 2 == 0
    tone, rim = paired(
        variant,
        ("#2a2c30", "#2c2622", "#1f2a2c", "#2b2430", "#2a2825"),
        ("#b9c6d8", "#d8a878", "#8fc0c0", "#b49ad0", "#d9c9a8"),
    )
    far = half(canvas)
    far.fill([(0, scaled(tone, 0.6)), (0.6, tone), (1, scaled(tone, 0.5))])
    far.glow(far.spot((0.5, 0.46), (0.46, 0.34)) * 0.34, rim)
    far.glow(far.spot((0.05 if left else 0.95, 0.2), (0.4, 0.4)) * 0.18, WARM)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.66, eye=0.36)
    slate = surfaces.stone(canvas.rng, floor, scaled(tone, 1.15), rough=2.2)
    finish_surface(canvas, floor, slate, left=left, sheen=rim, strength=1.1, edge=0.03)
    return Mood(
        from_left=left,
        key=WARM,
        ambient=mix(rim, (1, 1, 1), 0.6),
        gloss=0.3,
        shadow=0.6,
        exposure=0.86,
        vignette=0.4,
        variant=variant,
    )
