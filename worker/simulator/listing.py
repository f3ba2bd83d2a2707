"""How are the models themselves described?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.simulator import refusals
from worker.simulator.connection import Reply
from worker.simulator.credentials import check_credentials
from worker.simulator.models import MODELS
from worker.simulator.routes import Platform

if TYPE_CHECKING:
    from worker.simulator.connection import Request
    from worker.simulator.models import WireModel
    from worker.simulator.routes import Route
    from worker.simulator.state import State


async def answer_model(_state: State, request: Request, route: Route) -> Reply:
    """One model.

    Raises:
        Refusal: no credential, or no such model.
    """
    check_credentials(request, route.platform)
    if route.model not in MODELS:
        raise refusals.model_not_found(route.model)
    return _json(_describe(MODELS[route.model], route.platform))


async def answer_models(_state: State, request: Request, route: Route) -> Reply:
    """All models.

    Raises:
        Refusal: no credential.
    """
    check_credentials(request, route.platform)
    name = "models" if route.platform is Platform.DEVELOPER else "publisherModels"
    return _json({name: [_describe(model, route.platform) for model in MODELS.values()]})


def _describe(model: WireModel, platform: Platform) -> dict[str, Any]:
    if platform is not Platform.DEVELOPER:
        return {
            "name": f"publishers/google/models/{model.name}",
            "versionId": "default",
            "launchStage": "GA",
        }
    return {
        "name": f"models/{model.name}",
        "version": "001",
        "displayName": model.display_name,
        "inputTokenLimit": model.input_token_limit,
        "outputTokenLimit": model.output_token_limit,
        "supportedGenerationMethods": ["generateContent", "batchGenerateContent"],
        "thinking": bool(model.thinking_levels),
    }


def _json(document: object) -> Reply:
    return Reply(status=200, body=json.dumps(document).encode())
