"""Do the simulator's books tell callers apart without keeping their keys?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from worker.simulator.credentials import label_caller
from worker.simulator.server import Simulator

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/v1/models/gemini-nano-banana-2.1:generateContent"
VERTEX_PATH = (
    "/v1beta1/projects/p/locations/global/publishers/google"
    "/models/gemini-nano-banana-2.1:generateContent"
)
BODY = json.dumps({"contents": [{"role": "user", "parts": [{"text": "a lamp"}]}]}).encode()


def ask(simulator: Simulator, path: str, **headers: str) -> None:
    request = Request(f"{simulator.url}{path}", data=BODY, headers=headers, method="POST")
    with urlopen(request, timeout=10) as answer:
        answer.read()


def test_each_key_and_token_has_a_label_of_its_own_and_none_is_written_down(
    tmp_path: Path,
) -> None:
    books = tmp_path / "books.jsonl"

    with Simulator(books_path=books) as simulator:
        ask(simulator, PATH, **{"X-Goog-Api-Key": "key-of-one"})
        ask(simulator, PATH, **{"X-Goog-Api-Key": "key-of-two"})
        ask(simulator, VERTEX_PATH, Authorization="Bearer token-of-three")

    text = books.read_text()
    labels = [json.loads(line)["caller"] for line in text.splitlines()]
    assert labels == [label_caller(one) for one in ("key-of-one", "key-of-two", "token-of-three")]
    assert len(set(labels)) == 3
    assert "-of-" not in text
