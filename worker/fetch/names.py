"""Which addresses does a host's name have?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]


def look_up(host: str, port: int) -> Sequence[str]:
    """Every address that the system's resolver gives; numbers in any notation are addresses.

    Raises:
        OSError: there is none, or the resolver can't be reached.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def resolve_within(
    resolve: Resolve, host: str, port: int, timeout_s: float
) -> tuple[IPv4Address | IPv6Address, ...]:
    """Every address of ``host``, each once, in the resolver's order.

    Raises:
        OSError: the lookup failed, or took longer than ``timeout_s``.
    """
    answers: SimpleQueue[Sequence[str] | OSError] = SimpleQueue()
    # getaddrinfo knows no time limit of ours; a thread left behind ends with the resolver's own.
    Thread(target=_answer, args=(answers, resolve, host, port), daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except Empty as exc:
        raise TimeoutError(f"its name was not resolved within {timeout_s:.1f} s") from exc
    if isinstance(answer, OSError):
        raise answer
    return tuple(dict.fromkeys(ip_address(text) for text in answer))


def _answer(
    answers: SimpleQueue[Sequence[str] | OSError], resolve: Resolve, host: str, port: int
) -> None:
    try:
        answers.put(resolve(host, port))
    except OSError as exc:
        answers.put(exc)
