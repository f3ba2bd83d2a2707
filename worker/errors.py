"""What can keep a render from its picture, and what follows from it?

The family decides what the queue does; ``reason`` (one of :mod:`catalog.reasons`) tells a program,
and the message tells a person, what happened::

    RenderError
    ├── TryLater              the same render may succeed later; nothing was bought
    │   └── Overloaded        the platform has no capacity at the moment
    ├── Snooze                not now (somebody else buys it, a limit is reached); costs no attempt
    │   └── Limited           the platform says that a limit is reached
    ├── OutcomeUnknown        the request left us and no answer came back; it may have been billed
    ├── Refused               no number of attempts will help
    │   ├── ReferenceUnusable the photo is missing, not a picture, too large, too small ...
    │   └── PromptBlocked     the model's safety system said no, with its reason; softer words may
    │                         be left to ask
    ├── NoPicture             the model answered, and was perhaps paid, without a picture
    └── LaneStopped           key, billing, permission or model fault: the whole lane stands
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.model import Usage


class RenderError(Exception):
    """A render did not get its picture.

    Arguments are positional so that the exception survives pickling.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class TryLater(RenderError):
    """The same render may succeed later; nothing was bought."""

    def __init__(self, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason, message)
        self.args = (reason, message, retry_after_s)
        self.retry_after_s = retry_after_s


class Overloaded(TryLater):
    """The platform has no capacity at the moment: fewer calls should be open."""

    @property
    def asked_to_wait_s(self) -> float | None:
        """How long the platform asks us to wait; ``None`` if it does not say."""
        return self.retry_after_s


class Snooze(RenderError):
    """Not now; the attempt is not counted."""

    def __init__(self, reason: str, message: str, retry_after_s: float) -> None:
        super().__init__(reason, message)
        self.args = (reason, message, retry_after_s)
        self.retry_after_s = retry_after_s


class Limited(Snooze):
    """The platform says that a limit is reached.

    ``kind`` is ``rate``, ``capacity``, or ``unclear`` where it names no quota. ``asked_to_wait_s``
    is what it asks for, ``told_per_minute`` the limit on calls that it names; ``None`` where it
    says nothing.
    """

    def __init__(  # noqa: PLR0917  positional, as in all of the family
        self,
        reason: str,
        message: str,
        retry_after_s: float,
        kind: str = "rate",
        asked_to_wait_s: float | None = None,
        told_per_minute: int | None = None,
    ) -> None:
        super().__init__(reason, message, retry_after_s)
        self.args = (reason, message, retry_after_s, kind, asked_to_wait_s, told_per_minute)
        self.kind = kind
        self.asked_to_wait_s = asked_to_wait_s
        self.told_per_minute = told_per_minute


class OutcomeUnknown(RenderError):
    """The request left us and no answer came back: it may have been billed."""


class Refused(RenderError):
    """No number of attempts will help."""


class ReferenceUnusable(Refused):
    """A product photo cannot be used; ``reason`` is one of ``reference.*``."""


class PromptBlocked(Refused):
    """The model's safety system refused; ``finish_reason`` is the model's own word."""

    def __init__(
        self, reason: str, message: str, finish_reason: str, usage: Usage | None = None
    ) -> None:
        super().__init__(reason, message)
        self.args = (reason, message, finish_reason, usage)
        self.finish_reason = finish_reason
        self.usage = usage


class NoPicture(RenderError):
    """The model answered without a picture and without refusing; it may have been billed."""

    def __init__(
        self, reason: str, message: str, finish_reason: str, usage: Usage | None = None
    ) -> None:
        super().__init__(reason, message)
        self.args = (reason, message, finish_reason, usage)
        self.finish_reason = finish_reason
        self.usage = usage


class LaneStopped(RenderError):
    """No render of this lane can succeed until a person changes a setting."""
