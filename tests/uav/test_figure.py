"""The map of a search in a flight: what its colors mean is said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from matplotlib.colors import to_rgb

from crossband.uav.figure import map_figure
from crossband.uav.ground_classes import GROUND, UNKNOWN
from crossband.uav.semantic_map import SemanticMap
from crossband.uav.stages import Position


def drawn(labels: np.ndarray):
    """The axis of a map with one position and one object."""
    position = Position("0", 48.7, 9.1, 20, 20, 1.0, 48.7, 9.1)
    match = SimpleNamespace(x=25.0, y=30.0, lat=48.7, lon=9.1, covariance=None)
    searched = SimpleNamespace(
        ground=SemanticMap(labels, 1.0, 48.7, 9.1),
        positions=[position],
        flight=SimpleNamespace(sequences=lambda: [range(1)]),
        result=SimpleNamespace(matches=[match]),
    )
    return map_figure(searched).axes[0]


def test_each_class_of_the_map_has_its_color_in_the_legend():
    labels = np.full((50, 60), GROUND.index("grass"), np.uint8)
    labels[:20], labels[20:30] = GROUND.index("building"), UNKNOWN
    axis = drawn(labels)
    legend = axis.get_legend()
    said = {
        text.get_text(): patch.get_facecolor()[:3]
        for text, patch in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if hasattr(patch, "get_facecolor") and text.get_text() in (*GROUND, "unknown ground")
    }
    assert list(said) == ["grass", "building", "unknown ground"]
    image = axis.get_images()[0]
    for name, row in (("building", 10), ("unknown ground", 25), ("grass", 40)):
        assert to_rgb(image.cmap(image.norm(image.get_array()[row, 5]))) == said[name]


def test_a_map_of_nothing_has_no_classes():
    texts = [text.get_text() for text in drawn(np.full((50, 60), UNKNOWN, np.uint8)).get_legend().get_texts()]
    assert texts == ["aircraft", "other objects", "first object"]
