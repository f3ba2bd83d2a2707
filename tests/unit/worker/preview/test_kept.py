"""Tests of what is kept for the next picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from worker.preview.kept import Kept


def kept(max_entries: int = 3, max_bytes: int = 100) -> Kept[bytes]:
    return Kept(max_entries=max_entries, max_bytes=max_bytes, size_bytes=len)


def test_a_value_is_made_once() -> None:
    store = kept()

    store.get("a", lambda: b"first")

    assert store.get("a", lambda: b"second") == b"first"


def test_the_value_used_longest_ago_goes_first() -> None:
    store = kept(max_entries=2)
    for key in ("a", "b", "a", "c"):
        store.get(key, lambda: b"old")

    assert store.get("a", lambda: b"new") == b"old"
    assert store.get("b", lambda: b"new") == b"new"
    assert len(store) == 2


def test_bytes_are_bounded_too() -> None:
    store = kept(max_bytes=100)

    for key in range(5):
        store.get(key, lambda: b"x" * 60)

    assert (len(store), store.held_bytes) == (1, 60)


def test_a_value_beyond_the_bound_is_given_but_not_kept() -> None:
    store = kept(max_bytes=100)

    assert len(store.get("a", lambda: b"x" * 101)) == 101
    assert (len(store), store.held_bytes) == (0, 0)


def test_threads_that_ask_for_the_same_wait_for_it() -> None:
    store, started, go, made = kept(), Event(), Event(), []

    def slow() -> bytes:
        made.append(1)
        started.set()
        assert go.wait(10)
        return b"a"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.get, "a", slow)
        assert started.wait(10)
        second = threads.submit(store.get, "a", slow)
        go.set()

        assert first.result(10) == second.result(10) == b"a"
    assert made == [1]


def test_a_failure_reaches_who_asked_and_is_not_kept() -> None:
    store = kept()

    def failing() -> bytes:
        msg = "no such set"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no such set"):
        store.get("a", failing)
    assert store.get("a", lambda: b"a") == b"a"
