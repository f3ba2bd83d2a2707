"""How does the worker's core reach Pillow without knowing it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.imaging.checks import DEFAULT_THRESHOLDS, Thresholds, check_master
from worker.imaging.normalise import ReferenceLimits, normalise_reference
from worker.imaging.provenance import Provenance
from worker.imaging.renditions import RECIPES, make_renditions
from worker.ports import Inspected, Normalised, Rendition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.ports import Marking


class PillowImaging:
    """The :class:`worker.ports.Imaging` of a real worker; holds settings only."""

    def __init__(
        self,
        *,
        reference_limits: ReferenceLimits | None = None,
        thresholds: Thresholds = DEFAULT_THRESHOLDS,
    ) -> None:
        self._reference_limits = reference_limits or ReferenceLimits()
        self._thresholds = thresholds

    def normalise(self, content: bytes) -> Normalised:
        """Make a photo fit to be sent.

        Raises:
            ReferenceUnusable: it can't be used.
        """
        made = normalise_reference(content, limits=self._reference_limits)
        return Normalised(
            content=made.content,
            media_type=made.media_type,
            ext=made.ext,
            sha256=made.sha256,
            width_px=made.width_px,
            height_px=made.height_px,
            thumb=made.thumb,
            notes=made.notes,
        )

    def inspect(self, master: bytes, *, asked_width_px: int, asked_height_px: int) -> Inspected:
        """Look at a master.

        Raises:
            Refused: it can't be decoded.
        """
        report = check_master(
            master,
            asked_width_px=asked_width_px,
            asked_height_px=asked_height_px,
            thresholds=self._thresholds,
        )
        return Inspected(
            media_type=report.facts.media_type,
            width_px=report.facts.width_px,
            height_px=report.facts.height_px,
            verdict=report.verdict,
            rule=report.rule or None,
            scores=dict(report.scores),
        )

    def file_names(self, recipes: Sequence[str]) -> tuple[str, ...]:
        """Name the files that recipes make, each once.

        Raises:
            ValueError: there is no such recipe.
        """
        unknown = [name for name in recipes if name not in RECIPES]
        if unknown:
            raise ValueError(f"no renditions are called {unknown[0]!r}; there are: {_known()}")
        return tuple(dict.fromkeys(file.name for name in recipes for file in RECIPES[name]))

    def render(self, master: bytes, names: Sequence[str], marking: Marking) -> Iterator[Rendition]:
        """Make the delivery files of these names, the largest first.

        Raises:
            Refused: the master can't be decoded.
        """
        wanted = [file for files in RECIPES.values() for file in files if file.name in names]
        provenance = Provenance(
            digital_source_type=marking.digital_source_type,
            system=marking.system,
            system_version=marking.system_version,
        )
        for made in make_renditions(master, wanted, provenance=provenance):
            yield Rendition(
                name=made.name,
                content=made.content,
                media_type=made.media_type,
                width_px=made.width_px,
                height_px=made.height_px,
            )


def _known() -> str:
    return ", ".join(sorted(RECIPES))
