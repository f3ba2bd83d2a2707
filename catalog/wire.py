"""What do all shapes that cross a process or a file have in common?"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RenderId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
ImportId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Wire(BaseModel):
    """A shape we own: frozen, nothing unknown accepted, written under its wire names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        serialize_by_alias=True,
        # What has a default is written as well, and readers may rely on that.
        json_schema_serialization_defaults_required=True,
    )

    def to_json(self, *, indent: int | None = None) -> bytes:
        """Write the shape as UTF-8 JSON."""
        return self.model_dump_json(indent=indent).encode()

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read the shape back.

        Raises:
            pydantic.ValidationError: ``content`` is not this shape.
        """
        return cls.model_validate_json(content)

    def changed(self, **fields: Any) -> Self:
        """Copy with some fields replaced, validated again."""
        return type(self).model_validate({**self.__dict__, **fields})
