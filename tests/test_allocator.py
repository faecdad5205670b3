"""Freed memory is kept where the C library can be asked to, and asking elsewhere does no harm."""

from __future__ import annotations

import ctypes
import sys

from crossband.allocator import keep_freed_memory


def test_glibc_is_asked_for_both_thresholds(monkeypatch):
    asked = []

    class Library:
        def __init__(self, _: None) -> None:
            pass

        def mallopt(self, what: int, value: int) -> None:
            asked.append(what)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", Library)
    keep_freed_memory()
    assert sorted(asked) == [-3, -1]


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", object)  # has no mallopt, and takes no argument
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    keep_freed_memory()
