"""What does a generateContent request ask for, and is it allowed to?

Field names are read as proto JSON reads them: ``inlineData`` and ``inline_data`` are the same,
at every level, and the SDK mixes them.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from worker.simulator import refusals
from worker.simulator.models import DEFAULT_RATIO, DEFAULT_SIZE, WireModel, closest_ratio
from worker.simulator.routes import Platform

MAX_VERTEX_INLINE_BYTES: Final = 7 * 1024 * 1024
MEDIA_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
PICTURE_MEDIA_TYPES: Final = ("image/jpeg", "image/png")


class _Message(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class _Blob(_Message):
    mime_type: str = ""
    data: str = ""
    display_name: str | None = None


class _FileData(_Message):
    mime_type: str = ""
    file_uri: str
    display_name: str | None = None


class _Part(_Message):
    text: str | None = None
    inline_data: _Blob | None = None
    file_data: _FileData | None = None
    thought: bool = False
    thought_signature: str | None = None
    part_metadata: JsonValue = None
    media_resolution: JsonValue = None


class _Content(_Message):
    role: str = "user"
    parts: tuple[_Part, ...] = ()


class _ThinkingConfig(_Message):
    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _ImageOutputOptions(_Message):
    mime_type: str = ""
    compression_quality: int | None = None


class _ImageConfig(_Message):
    aspect_ratio: str | None = None
    image_size: str | None = None


class _VertexImageConfig(_ImageConfig):
    person_generation: str | None = None
    prominent_people: str | None = None
    image_output_options: _ImageOutputOptions = _ImageOutputOptions()


class _GenerationConfig(_Message):
    response_modalities: tuple[str, ...] = ("TEXT", "IMAGE")
    candidate_count: int = 1
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    media_resolution: str | None = None
    thinking_config: _ThinkingConfig = _ThinkingConfig()
    image_config: _ImageConfig = _ImageConfig()
    continuation_token: str | None = None


class _VertexGenerationConfig(_GenerationConfig):
    image_config: _VertexImageConfig = _VertexImageConfig()


class _Generate(_Message):
    contents: tuple[_Content, ...] = ()
    generation_config: _GenerationConfig = _GenerationConfig()
    system_instruction: _Content | None = None
    safety_settings: JsonValue = None
    tools: JsonValue = None
    tool_config: JsonValue = None
    cached_content: str | None = None
    service_tier: str = "standard"
    labels: dict[str, str] = {}
    store: bool | None = None
    continuation_token: str | None = None
    model: str | None = None


class _VertexGenerate(_Generate):
    generation_config: _VertexGenerationConfig = _VertexGenerationConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that the API accepts.

    ``digest`` tells requests apart as a shop would: by model, contents and image settings, whatever
    the case of their keys and the dialect of their base64. A seed doesn't make another request.
    """

    model: WireModel
    prompt: str
    images: int
    ratio: str
    size: str
    width_px: int
    height_px: int
    media_type: str
    wants_text: bool
    wants_picture: bool
    includes_thoughts: bool
    thinking_level: str
    service_tier: str
    digest: str


def parse_call(body: bytes, model: WireModel, platform: Platform) -> Call:
    """Read a generateContent body.

    Raises:
        Refusal: broken JSON, an unknown field, or something this model doesn't do.
    """
    return read_call(parse_json(body), model, platform)


def read_call(document: dict[str, Any], model: WireModel, platform: Platform) -> Call:
    """Read a GenerateContentRequest that is JSON already.

    Raises:
        Refusal: an unknown field, or something this model doesn't do.
    """
    vertex = platform is not Platform.DEVELOPER
    request = _validate(document, vertex=vertex)
    config = request.generation_config
    images = _read_images(request, vertex=vertex)
    _check_contents(request, model, images)
    _check_config(config, model, vertex=vertex)
    ratio = config.image_config.aspect_ratio or _ratio_of_first(images, model)
    size = config.image_config.image_size or DEFAULT_SIZE
    width_px, height_px = model.pixels[ratio][size]
    modalities = {modality.upper() for modality in config.response_modalities}
    return Call(
        model=model,
        prompt="\n".join(part.text for part in _parts(request) if part.text and not part.thought),
        images=len(images),
        ratio=ratio,
        size=size,
        width_px=width_px,
        height_px=height_px,
        media_type=_output_media_type(config) or model.media_type,
        wants_text="TEXT" in modalities,
        wants_picture="IMAGE" in modalities,
        includes_thoughts=config.thinking_config.include_thoughts,
        thinking_level=_thinking_level(config, model),
        service_tier=request.service_tier.lower(),
        digest=_digest(document, model),
    )


def decode_base64(text: str) -> bytes:
    """Decode standard or URL-safe base64, padded or not.

    Raises:
        ValueError: neither.
    """
    standard = text.translate(_URL_SAFE_TO_STANDARD).rstrip("=")
    return binascii.a2b_base64(standard + "=" * (-len(standard) % 4), strict_mode=True)


_URL_SAFE_TO_STANDARD: Final = str.maketrans("-_", "+/")


def parse_json(body: bytes) -> dict[str, Any]:
    """Read a message.

    Raises:
        Refusal: the body is no JSON, or no object.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as exc:
        message = f"Invalid JSON payload received. {exc}"
        raise refusals.invalid_argument(message) from exc
    if not isinstance(document, dict):
        message = "Invalid JSON payload received. Root element must be a message."
        raise refusals.invalid_argument(message)
    return document


def _validate(document: dict[str, Any], *, vertex: bool) -> _Generate:
    try:
        return (_VertexGenerate if vertex else _Generate).model_validate(document)
    except ValidationError as exc:
        raise invalid_field(exc) from exc


def invalid_field(error: ValidationError) -> refusals.Refusal:
    """Say as the API does which field is wrong, or unknown."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    *place, name = (str(step) for step in first["loc"])
    path = ".".join(place)
    if first["type"] != "extra_forbidden":
        field = ".".join((*place, name))
        return refusals.invalid_argument(f"Invalid value at '{field}': {first['msg']}", field)
    where = f" at '{path}'" if path else ""
    message = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
    return refusals.invalid_argument(message, path or name)


def _parts(request: _Generate) -> tuple[_Part, ...]:
    return tuple(part for content in request.contents for part in content.parts)


def _read_images(request: _Generate, *, vertex: bool) -> list[bytes | None]:
    """The bytes of each input image; ``None`` for one that is only pointed to."""
    images: list[bytes | None] = []
    for content_no, content in enumerate(request.contents):
        for part_no, part in enumerate(content.parts):
            field = f"contents[{content_no}].parts[{part_no}].inline_data"
            if part.file_data:
                images.append(None)
            if part.inline_data:
                images.append(_read_image(part.inline_data, field, vertex=vertex))
    return images


def _read_image(blob: _Blob, field: str, *, vertex: bool) -> bytes:
    try:
        content = decode_base64(blob.data)
    except ValueError as exc:
        message = f"Invalid value at '{field}.data' (TYPE_BYTES), Base64 decoding failed"
        raise refusals.invalid_argument(message, f"{field}.data") from exc
    if blob.mime_type not in MEDIA_TYPES:
        message = f"Unsupported MIME type: {blob.mime_type!r}"
        raise refusals.invalid_argument(message, f"{field}.mime_type")
    if vertex and len(content) > MAX_VERTEX_INLINE_BYTES:
        message = f"An inline image has {len(content)} bytes; {MAX_VERTEX_INLINE_BYTES} is the most"
        raise refusals.invalid_argument(message, f"{field}.data")
    if not _looks_like_a_picture(content):
        message = "Unable to process input image. Please retry with a valid image."
        raise refusals.invalid_argument(message, f"{field}.data")
    return content


def _looks_like_a_picture(content: bytes) -> bool:
    riff_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return (
        content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or riff_webp
        or content[4:8] == b"ftyp"
    )


def _check_contents(request: _Generate, model: WireModel, images: list[bytes | None]) -> None:
    if not _parts(request):
        message = "contents is not specified"
        raise refusals.invalid_argument(message, "contents")
    for content in request.contents:
        if content.role not in {"user", "model"}:
            message = "Please use a valid role: user, model."
            raise refusals.invalid_argument(message, "contents.role")
    if len(images) > model.max_images:
        message = f"{len(images)} input images; {model.name} takes at most {model.max_images}"
        raise refusals.invalid_argument(message, "contents")


def _check_config(config: _GenerationConfig, model: WireModel, *, vertex: bool) -> None:
    place = "generation_config"
    image = config.image_config
    level = config.thinking_config.thinking_level
    checks = (
        ("image_config.aspect_ratio", image.aspect_ratio, model.ratios(vertex=vertex)),
        ("image_config.image_size", image.image_size, model.sizes),
        (
            "thinking_config.thinking_level",
            level and level.lower(),
            model.thinking_levels or (level and level.lower(),),
        ),
        ("candidate_count", config.candidate_count, (1,)),
        ("image_output_options.mime_type", _output_media_type(config), PICTURE_MEDIA_TYPES),
        *(
            ("response_modalities", modality.upper(), ("TEXT", "IMAGE"))
            for modality in config.response_modalities
        ),
    )
    for field, value, accepted in checks:
        if value and value not in accepted:
            words = ", ".join(str(word) for word in accepted)
            message = f"{model.name} does not support {field} {value!r}; it supports {words}"
            raise refusals.invalid_argument(message, f"{place}.{field}")


def _output_media_type(config: _GenerationConfig) -> str:
    image = config.image_config
    if isinstance(image, _VertexImageConfig):
        return image.image_output_options.mime_type
    return ""


def _thinking_level(config: _GenerationConfig, model: WireModel) -> str:
    asked = config.thinking_config.thinking_level or ""
    return asked.lower() or next(iter(model.thinking_levels), "")


def _ratio_of_first(images: list[bytes | None], model: WireModel) -> str:
    """Documented: without a ratio the answer follows the input image, or is square."""
    for content in images[:1]:
        if content is None:
            continue
        try:
            with Image.open(io.BytesIO(content)) as picture:
                return closest_ratio(model, picture.width, picture.height)
        except OSError:  # heic: the container is known, its header is not ours to read
            continue
    return DEFAULT_RATIO


def _digest(document: dict[str, Any], model: WireModel) -> str:
    camel = _camel(document)
    asked = {
        "model": model.name,
        "contents": camel.get("contents"),
        "imageConfig": camel.get("generationConfig", {}).get("imageConfig", {}),
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _camel(value: Any) -> Any:
    """The same value with camelCase keys, bytes as their hash, and no roles that say nothing."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    pairs = {_camel_key(key): each for key, each in value.items()}
    if pairs.get("role") == "user":
        del pairs["role"]
    if isinstance(pairs.get("data"), str):
        pairs["data"] = _hash(pairs["data"])
    return {key: _camel(each) for key, each in pairs.items()}


def _hash(data: str) -> str:
    try:
        return hashlib.sha256(decode_base64(data)).hexdigest()
    except ValueError:  # some other field of that name
        return data


def _camel_key(key: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), key)
