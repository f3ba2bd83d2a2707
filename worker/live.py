"""What does the model that is set really do? Buys one picture and writes down what came.

``python -m worker.live`` is what ``skuscene doctor --live`` starts: producers load no model SDK. It
leaves a folder ``doctor-live-<UTC time>`` with the request (written before anything is bought), the
answer, the photo that was sent and the picture as bought. Prints the files; says on standard error
what happened. Exit 0: a picture came; 1: none did; 2: a setting, or the price; 4: the platform
can't be reached or refuses us.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFilter
from pydantic import ValidationError

from catalog.models import Model, UnknownModel, load_models
from catalog.settings import Settings, SettingsError, read_settings
from worker.errors import LaneStopped, OutcomeUnknown, RenderError, TryLater
from worker.gemini.model import GeminiModel
from worker.gemini.settings import GeminiSettings
from worker.imaging.sniff import sniff_media_type
from worker.model import Answer, ReferencePhoto, TakeRequest
from worker.version import MADE_BY

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, FAILED, USAGE, SERVICE = 0, 1, 2, 4

_PROMPT = (
    "Place the product of the photo on a light oak shelf in a bright living room with soft "
    "daylight from the left. Keep the product's shape, colour and proportions exactly. "
    "A photograph for a shop; no text, no people."
)
_RATIO = "1:1"
_SEED = 7
_PHOTO_PX = 768
_SOURCE_TYPE = re.compile(rb"digitalsourcetype/([A-Za-z]{3,64})")


@dataclass(slots=True, kw_only=True)
class Transcript:
    """A folder that grows by a file at a time; ``files`` is what it has."""

    folder: Path
    files: list[Path] = field(default_factory=list)

    def add(self, name: str, content: bytes) -> None:
        """Write one file."""
        path = self.folder / name
        path.write_bytes(content)
        self.files.append(path)

    def add_json(self, name: str, shape: dict[str, Any]) -> None:
        """Write one file of JSON."""
        self.add(name, (json.dumps(shape, ensure_ascii=False, indent=2) + "\n").encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Buy one picture; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = read_settings()
        model = load_models(settings.models_file).resolve(options.model, platform=settings.platform)
        size = _affordable(model, options.size, options.most_micro_usd)
        gemini = _gemini(settings)
        transcript = _open(Path(options.out))
    except (SettingsError, UnknownModel, ValidationError, ValueError) as exc:
        return _end(USAGE, _words(exc))
    except OSError as exc:
        return _end(FAILED, f"nothing was bought, the transcript can't be written: {exc}")
    request = _request(model, size, settings)
    code, said = _buy(request, model, settings, gemini, transcript)
    sys.stdout.writelines(f"{path}\n" for path in transcript.files)
    return _end(code, said)


def markers(content: bytes) -> dict[str, Any]:
    """What a picture's bytes say of its origin: Content Credentials, XMP, IPTC's source type."""
    source_type = _SOURCE_TYPE.search(content)
    return {
        # A C2PA manifest is a JUMBF box with this label, in JPEG, PNG and WebP alike.
        "c2pa": b"jumb" in content and b"c2pa" in content,
        "xmp": b"<x:xmpmeta" in content or b"http://ns.adobe.com/xap/1.0/" in content,
        "digital_source_type": source_type[1].decode() if source_type else None,
    }


def product_photo() -> bytes:
    """Draw a plain product photo: a glazed vase on white, as JPEG."""
    photo = Image.new("RGB", (_PHOTO_PX, _PHOTO_PX), (250, 250, 248))
    shadow = ImageDraw.Draw(photo)
    shadow.ellipse((220, 620, 560, 690), fill=(214, 212, 208))
    photo = photo.filter(ImageFilter.GaussianBlur(14))
    draw = ImageDraw.Draw(photo)
    glaze, shade, shine = (38, 96, 122), (27, 72, 94), (120, 170, 190)
    draw.ellipse((232, 280, 536, 660), fill=glaze)
    draw.rectangle((324, 160, 444, 330), fill=glaze)
    draw.ellipse((306, 136, 462, 186), fill=glaze)
    draw.ellipse((330, 146, 438, 176), fill=shade)
    draw.ellipse((282, 360, 330, 520), fill=shine)
    written = io.BytesIO()
    photo.save(written, "JPEG", quality=92)
    return written.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.live", description="Buy one picture.")
    parser.add_argument("--model", required=True, help="alias or id")
    parser.add_argument("--out", default=".", metavar="DIR", help="where the transcript goes [.]")
    parser.add_argument("--size", metavar="SIZE", help="512, 1K, 2K or 4K [the model's smallest]")
    parser.add_argument(
        "--most-micro-usd", type=int, default=100_000, metavar="N", help="price limit [100000]"
    )
    return parser


def _affordable(model: Model, size: str | None, most_micro: int) -> str:
    """The size to ask for.

    Raises:
        ValueError: the model is no bought one, has no such size, or costs more than allowed.
    """
    if model.is_preview:
        raise ValueError(f"{model.id} draws on this machine: there is nothing to buy")
    size = size or model.sizes[0]
    price = model.reserve(references=1, size=size, lane="standard")
    if price.micro > most_micro:
        raise ValueError(
            f"one {size} picture of {model.id} costs about {price} USD, more than "
            f"{most_micro / 1e6:.4f}: nothing was bought"
        )
    return size


def _gemini(settings: Settings) -> GeminiSettings:
    return GeminiSettings(
        platform=settings.platform,
        api_key=settings.gemini_api_key,
        base_url=settings.vertex_base_url if settings.use_vertex else settings.gemini_base_url,
        project=settings.google_cloud_project,
        location=settings.google_cloud_location,
    )


def _open(out: Path) -> Transcript:
    """Make the folder before anything is bought: a picture must have a place to go.

    Raises:
        OSError: it can't be made, or is there already.
    """
    folder = out / f"doctor-live-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    return Transcript(folder=folder)


def _request(model: Model, size: str, settings: Settings) -> TakeRequest:
    photo = ReferencePhoto(content=product_photo(), media_type="image/jpeg")
    return TakeRequest(
        model_id=model.id,
        prompt=_PROMPT,
        references=(photo,),
        ratio=_RATIO,
        size=size,
        seed=_SEED,
        scene="doctor",
        deadline_s=settings.model_deadline_s,
    )


def _buy(
    request: TakeRequest,
    model: Model,
    settings: Settings,
    gemini: GeminiSettings,
    transcript: Transcript,
) -> tuple[int, str]:
    transcript.add("reference.jpg", request.references[0].content)
    transcript.add_json("request.json", _told_request(request, model, settings, gemini))
    started = time.monotonic()
    try:
        answer = asyncio.run(_ask(gemini, settings.models_file, request))
    except RenderError as exc:
        took_s = time.monotonic() - started
        transcript.add_json("answer.json", _told_fault(exc, took_s))
        return _code(exc), f"no picture ({exc.reason}): {exc.message}"
    except Exception as exc:  # noqa: BLE001  ours; its text may quote anything
        kind = type(exc).__name__
        transcript.add_json("answer.json", {"outcome": "fault", "kind": kind, "reason": "ours"})
        return FAILED, f"no picture: {kind} in our own code; a picture may have been sold"
    # The picture first: it is paid for, and describing it may fail.
    ending = sniff_media_type(answer.content)[1]
    transcript.add(f"picture.{ending}", answer.content)
    told = _told_answer(answer, request, model)
    transcript.add_json("answer.json", told)
    return FAILED if told["undecodable"] else DONE, _summary(told)


async def _ask(gemini: GeminiSettings, models_file: Path | None, request: TakeRequest) -> Answer:
    model = GeminiModel(gemini, load_models(models_file))
    try:
        return await model.render(request)
    finally:
        await model.aclose()


def _told_request(
    request: TakeRequest, model: Model, settings: Settings, gemini: GeminiSettings
) -> dict[str, Any]:
    photo = request.references[0].content
    return {
        "asked_at": datetime.now(UTC).isoformat(),
        "made_by": MADE_BY,
        "sdk": f"google-genai {version('google-genai')}",
        "platform": settings.platform,
        "simulated": gemini.is_simulated,
        "model": request.model_id,
        "prompt": request.prompt,
        "ratio": request.ratio,
        "size": request.size if model.sends_size else None,
        "pixels": list(model.pixels(request.ratio, request.size)),
        "seed": request.seed,
        "thinking_level": model.thinking_level,
        "reference": {
            "file": "reference.jpg",
            "media_type": request.references[0].media_type,
            "sha256": hashlib.sha256(photo).hexdigest(),
            "pixels": [_PHOTO_PX, _PHOTO_PX],
        },
        "estimate_micro_usd": model.reserve(references=1, size=request.size, lane="standard").micro,
        "deadline_s": request.deadline_s,
    }


def _told_answer(answer: Answer, request: TakeRequest, model: Model) -> dict[str, Any]:
    asked = list(model.pixels(request.ratio, request.size))
    measured, fault = _measured(answer.content)
    cost = model.cost(answer.usage, size=request.size, lane="standard")
    return {
        "outcome": "picture",
        "model_asked": request.model_id,
        "model_answered": answer.model_answered,
        "response_id": answer.response_id,
        "sent_at": answer.sent_at.isoformat(),
        "answered_at": answer.answered_at.isoformat(),
        "seconds": round((answer.answered_at - answer.sent_at).total_seconds(), 3),
        "usage": asdict(answer.usage),
        "cost_micro_usd": cost.micro,
        "media_type": answer.media_type,
        "bytes": len(answer.content),
        "sha256": hashlib.sha256(answer.content).hexdigest(),
        "pixels_asked": asked,
        "pixels_measured": measured,
        "undecodable": fault,
        "markers": markers(answer.content),
        # What no document could tell for sure when the model table was written.
        "compared": {
            "answered_by_the_model_asked": answer.model_answered == request.model_id,
            "pixels_as_in_the_table": measured == asked,
            "media_type_as_in_the_table": answer.media_type in model.output_media_types,
            "image_tokens_as_in_the_table": (
                answer.usage.output_image_tokens == model.output_image_tokens[request.size]
            ),
        },
    }


def _measured(content: bytes) -> tuple[list[int] | None, str | None]:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return [picture.width, picture.height], None
    # Pillow's plugins raise many kinds; each means that this is no whole picture.
    except Exception as exc:  # noqa: BLE001
        return None, f"{type(exc).__name__}: {exc}"


def _told_fault(exc: RenderError, took_s: float) -> dict[str, Any]:
    usage = getattr(exc, "usage", None)
    return {
        "outcome": "fault",
        "kind": type(exc).__name__,
        "reason": exc.reason,
        "message": exc.message,
        "finish_reason": getattr(exc, "finish_reason", None),
        "retry_after_s": getattr(exc, "retry_after_s", None),
        "usage": asdict(usage) if usage else None,
        "perhaps_billed": isinstance(exc, OutcomeUnknown) or usage is not None,
        "seconds": round(took_s, 3),
    }


def _code(exc: RenderError) -> int:
    """Tell a platform that is away or refuses us from an answer that is no picture."""
    return SERVICE if isinstance(exc, TryLater | LaneStopped) else FAILED


def _summary(told: dict[str, Any]) -> str:
    measured = told["pixels_measured"]
    pixels = f"{measured[0]} x {measured[1]} px" if measured else "undecodable"
    differ = [what.replace("_", " ") for what, holds in told["compared"].items() if not holds]
    doubts = f"; does not hold: {', '.join(differ)}" if differ else ""
    seen = [name for name in ("c2pa", "xmp") if told["markers"][name]]
    return (
        f"one picture by {told['model_answered'] or 'an unnamed model'}: {told['media_type']}, "
        f"{pixels}, {told['cost_micro_usd'] / 1e6:.4f} USD, {told['seconds']:.1f} s, "
        f"markers: {', '.join(seen) or 'none'}{doubts}"
    )


def _words(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        faults = (str(error["msg"]) for error in exc.errors(include_input=False))
        return "; ".join(fault.removeprefix("Value error, ") for fault in faults)
    return str(exc.args[0]) if exc.args else str(exc)


def _end(code: int, said: str) -> int:
    sys.stderr.write(f"{said}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
