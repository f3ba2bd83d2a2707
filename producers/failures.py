"""Which exit code does an error end a command with?"""

from __future__ import annotations

from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.models_file import ModelsFileError
from catalog.settings import SettingsError
from catalog.store.opening import StoreUrlError
from catalog.store.port import StoreError
from producers.control import ControlRefused
from producers.exits import Exit
from producers.feeds.errors import FeedError
from producers.images import ImagesError
from producers.importing import ImportRefused, NoConsent
from producers.parked import UnknownParked
from producers.reporting import UnknownImport
from producers.scene_book import SceneBookError
from producers.services import ServiceAway


class UsageError(Exception):
    """The command line's words can't be right together."""


_SERVICE = (ServiceAway, StoreError, StateUnavailable, QueueUnavailable)
_USAGE = (
    SettingsError,
    ModelsFileError,
    StoreUrlError,
    FeedError,
    SceneBookError,
    ImagesError,
    ImportRefused,
    NoConsent,
    UnknownImport,
    UnknownParked,
    UsageError,
)


def exit_code(exc: Exception) -> Exit | None:
    """The exit code of an error that is an answer; ``None`` for one that is our own fault."""
    if isinstance(exc, _SERVICE):
        return Exit.SERVICE
    if isinstance(exc, _USAGE):
        return Exit.USAGE
    if isinstance(exc, ControlRefused):
        return Exit.FAILED
    return None
