"""Progress goes to standard error, only when it is worth it, and never changes what passes through."""

from __future__ import annotations

import time

import pytest

from crossband.progress import Progress, note, said_first, says_once, track


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests turn by hand."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_items_pass_through_in_order(capsys):
    assert list(track(iter(range(5)), 5, "counting")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr() == ("", "")


def test_work_under_two_seconds_says_nothing(clock, capsys):
    with Progress(2, "embedding") as progress:
        clock(0.9)
        progress.advance()
        clock(0.9)
        progress.advance()
    assert capsys.readouterr() == ("", "")


def test_longer_work_says_count_rate_and_time_left_on_standard_error(clock, capsys):
    with Progress(100, "embedding") as progress:
        clock(2.5)
        progress.advance(25)
    out, err = capsys.readouterr()
    assert out == ""
    assert "embedding" in err
    assert "25/100 images, 10.0/s, 8 s left" in err


def test_without_a_terminal_a_line_appears_at_most_every_ten_seconds(clock, capsys):
    with Progress(100, "embedding") as progress:
        for _ in range(30):
            clock(1)
            progress.advance()
    assert capsys.readouterr().err.count("\n") == 3


def test_a_note_is_one_line_on_standard_error(capsys):
    note("left out: a.png")
    assert capsys.readouterr() == ("", "left out: a.png\n")


def test_on_a_terminal_a_bar_appears_and_standard_output_stays_apart(clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress(100, "embedding") as progress:
        clock(2.5)
        progress.advance(25)
        print("a result")
    out, err = capsys.readouterr()
    assert out == "a result\n"
    assert "embedding" in err
    assert "25/100" in err


def test_a_verb_says_a_thing_once_and_its_second_call_says_it_again(capsys):
    def say(text):
        if said_first("note", text):
            note(text)

    inner = says_once(lambda: say("empty file"))

    @says_once
    def outer():
        inner()
        inner()
        say("empty file")

    for _ in range(2):
        outer()
        assert capsys.readouterr().err == "empty file\n"
    say("empty file")  # outside of any, everything is said
    assert capsys.readouterr().err == "empty file\n"


def test_a_verb_that_fails_forgets_what_it_said():
    @says_once
    def verb():
        assert said_first("a", 1)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            verb()
