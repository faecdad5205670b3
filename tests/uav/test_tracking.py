"""Tracks: the same object has one number, another has another."""

from __future__ import annotations

import numpy as np

from crossband.uav.tracking import count_tracks, track_boxes


def moving(start, step, frames, kind=0, side=12):
    """An object's boxes over some frames."""
    centers = np.array(start) + np.arange(frames)[:, None] * np.array(step)
    return [np.array([[x - side, y - side, x + side, y + side, 0.9, kind]]) for x, y in centers]


def test_two_objects_that_pass_each_other_keep_their_numbers():
    right, left = moving((0, 50), (9, 0), 20), moving((180, 56), (-9, 0), 20)
    tracks = track_boxes([np.concatenate(pair) for pair in zip(right, left, strict=True)])
    assert {tuple(numbers) for numbers in tracks} == {(1, 2)}


def test_a_hidden_object_is_the_same_where_it_would_be_by_then():
    boxes = moving((10, 10), (8, 4), 12)
    boxes[5] = boxes[6] = np.zeros((0, 6))
    tracks = track_boxes(boxes)
    assert {int(number) for numbers in tracks for number in numbers} == {1}


def test_an_object_of_another_class_at_the_same_place_is_another():
    tracks = track_boxes([moving((10, 10), (0, 0), 1, kind)[0] for kind in (0, 1)])
    assert tracks[0][0] != tracks[1][0]


def test_what_was_seen_once_is_not_counted():
    frames = [
        np.concatenate([box, far])
        for box, far in zip(
            moving((10, 10), (3, 0), 4), [*moving((90, 90), (0, 0), 1), *[np.zeros((0, 6))] * 3], strict=True
        )
    ]
    assert count_tracks(frames, track_boxes(frames), ["person", "car"]) == {"person": 1, "car": 0}
