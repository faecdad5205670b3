"""Draw the README's picture: RGB queries of the simulated city, by day, at dusk and at night, and the thermal
images found for them. ``python docs/picture.py`` after ``make demo``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from crossband.frames import Frames
from crossband.reports.strips import Tile, strip
from crossband.retrieval import Gallery, index

QUERIES = (("day", "place003"), ("dusk", "place004"), ("night", "place006"))


def main(city: Path, target: Path) -> None:
    """Index the city's thermal images and search them with one RGB image per condition."""
    frames = Frames.read(city / "frames.parquet")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        index(frames, folder, bands=["tir"])
        gallery = Gallery.open(folder)
        for condition, place in QUERIES:
            at = (frames.table["condition"] == condition) & (frames.table["place"] == place)
            mine = frames.select(at.to_numpy(bool))
            name, path = mine.names[2], mine.paths("rgb")[2]
            assert path is not None
            row = [Tile(path, "rgb", f"query, {condition}", "visible")]
            for match in gallery.nearest(gallery.describe(path, "rgb"), 4):
                detail = f"thermal, distance {match.distance:.2f}"
                row.append(
                    Tile(
                        match.path,
                        "tir",
                        f"{match.rank}. {match.metadata['place']}",
                        detail,
                        match.frame == name or None,
                    )
                )
            rows.append(row)
    strip(rows).save(target, quality=85, optimize=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo/city"),
        Path(__file__).parent / "images" / "search.jpg",
    )
