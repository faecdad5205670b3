"""OpenStreetMap's extracts as GeoPackages: the same map as from GeoJSON, and files that are wrong."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.uav import geopackage
from crossband.uav.semantic_map import read_map

from .test_street_map import feature, place, square

pyogrio = pytest.importorskip("pyogrio")
warp = pytest.importorskip("rasterio.warp")

LAWN = ("Polygon", [square(0, 0, 200)], {"landuse": "grass"})
HOUSE = ("Polygon", [square(20.2, 20.2, 40), square(30.2, 30.2, 20)], {"building": "house"})
WOOD = ("MultiPolygon", [[square(120.2, 120.2, 40)], [square(170.2, 20.2, 10)]], {"landuse": "forest"})
STREET = ("LineString", [place(0, 100.2), place(200, 100.2)], {"highway": "residential"})
PATH = ("LineString", [place(100.2, 0), place(100.2, 60)], {"highway": "footway"})
TRACK = ("MultiLineString", [[place(150.2, 0), place(150.2, 60)]], {"highway": "track"})
TREE = ("Point", place(30.2, 150.2), {"natural": "tree"})
SHOP = ("Point", place(60, 150), {"shop": "books"})
TOWN = (LAWN, HOUSE, WOOD, STREET, PATH, TRACK, TREE, SHOP)
CODES = {"Point": 1, "LineString": 2, "Polygon": 3, "MultiLineString": 5, "MultiPolygon": 6}


def wkb(form: str, places: list) -> bytes:
    """Well-known binary, by its definition (OGC 06-103r4, 8.2)."""
    head = struct.pack("<BI", 1, CODES[form])
    if form == "Point":
        return head + struct.pack("<2d", *places)
    head += struct.pack("<I", len(places))
    if form == "LineString":
        return head + np.array(places).tobytes()
    if form == "Polygon":
        return head + b"".join(struct.pack("<I", len(ring)) + np.array(ring).tobytes() for ring in places)
    return head + b"".join(wkb(form.removeprefix("Multi"), part) for part in places)


def moved(places: list, crs: str) -> list:
    if isinstance(places[0], float):
        return [values[0] for values in warp.transform("EPSG:4326", crs, [places[0]], [places[1]])]
    return [moved(part, crs) for part in places]


def write(path: Path, layer: str, features: list, columns: dict[str, list], crs: str = "EPSG:4326") -> None:
    shapes = [wkb(form, moved(at, crs) if crs not in ("", "EPSG:4326") else at) for form, at, _ in features]
    pyogrio.raw.write(
        path,
        np.array(shapes, object),
        [np.array(values, object) for values in columns.values()],
        list(columns),
        layer=layer,
        driver="GPKG",
        geometry_type="Unknown",
        crs=crs or None,
        append=path.exists(),
    )


def osm_driver(path: Path, crs: str = "EPSG:4326", features=TOWN) -> Path:
    """As ``ogr2ogr town.gpkg town.osm.pbf``: a layer a form, some tags as columns, the others in one."""
    owned = {"points": ["highway"], "lines": ["highway"], "multipolygons": ["building", "landuse"]}
    of = {"Point": "points", "LineString": "lines", "MultiLineString": "lines"}
    for layer, names in owned.items():
        mine = [one for one in features if of.get(one[0], "multipolygons") == layer]
        rest = [
            ",".join(
                f'"{key}"=>"{value}"'
                for key, value in {**tags, "note": 'a \\"b\\", c'}.items()
                if key not in names
            )
            for *_, tags in mine
        ]
        columns = {name: [tags.get(name) for *_, tags in mine] for name in names}
        write(path, layer, mine, {**columns, "other_tags": rest}, crs)
    return path


def geofabrik(path: Path) -> Path:
    """As download.geofabrik.de has it: a layer a kind, which one in the column ``fclass``."""
    layers = {
        "gis_osm_buildings_a_free": ([HOUSE], ["building"]),
        "gis_osm_roads_free": ([STREET, PATH, TRACK], ["residential", "footway", "track_grade2"]),
        "gis_osm_landuse_a_free": ([LAWN, WOOD], ["grass", "forest"]),
        "gis_osm_natural_free": ([TREE], ["tree"]),
        "gis_osm_pois_free": ([SHOP], ["bookshop"]),
        "gis_osm_water_a_free": ([HOUSE], ["water"]),
    }
    for name, (features, kinds) in layers.items():
        write(
            path, name, features, {"osm_id": ["1"] * len(kinds), "fclass": kinds, "type": [None] * len(kinds)}
        )
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("town") / "town.geojson"
    features = [feature(form, at, **tags) for form, at, tags in TOWN]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return read_map(path)


@pytest.fixture
def town(tmp_path):
    return osm_driver(tmp_path / "town.gpkg")


@pytest.mark.parametrize("write_as", [osm_driver, geofabrik])
def test_a_geopackage_is_the_map_that_the_same_extract_is_as_geojson(tmp_path, drawn, write_as):
    found = read_map(write_as(tmp_path / "town.gpkg"))
    assert (found.latitude, found.longitude) == (drawn.latitude, drawn.longitude)
    np.testing.assert_array_equal(found.labels, drawn.labels)
    assert set(range(5)) < set(np.unique(found.labels).tolist())


def test_a_layer_in_meters_lies_where_it_should(tmp_path, drawn):
    found = read_map(osm_driver(tmp_path / "town.gpkg", "EPSG:32632"))
    assert (found.latitude, found.longitude) == pytest.approx((drawn.latitude, drawn.longitude), abs=1e-9)
    np.testing.assert_array_equal(found.labels, drawn.labels)


def test_widths_and_lanes_are_read_from_the_other_tags(tmp_path):
    wide = [("LineString", STREET[1], {"highway": "residential", "width": "20 m"}), LAWN]
    ground = read_map(osm_driver(tmp_path / "a.gpkg", features=[*wide, TREE]))
    assert ground.at(np.array(50.0), np.array(108.0)) == 0
    assert ground.at(np.array(50.0), np.array(112.0)) == 2


def alter(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()


def view(path: Path) -> None:
    """A layer that never ends."""
    alter(
        path,
        "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "INSERT INTO gpkg_contents SELECT 'more', data_type, 'more', '', last_change, 0, 0, 1, 1, srs_id "
        "FROM gpkg_contents LIMIT 1",
    )


def computed(path: Path) -> None:
    alter(path, "ALTER TABLE lines ADD COLUMN width TEXT GENERATED ALWAYS AS (printf('%.*c', 1000000000, 'x'))")


def computed_contents(path: Path) -> None:
    """What is asked first of all."""
    alter(
        path,
        "ALTER TABLE gpkg_contents ADD COLUMN more TEXT GENERATED ALWAYS AS (printf('%.*c', 1000000, 'x'))",
    )


def computed_beside(path: Path) -> None:
    alter(path, "CREATE TABLE other (a TEXT, b TEXT GENERATED ALWAYS AS (a || a) STORED)")


def long_default(path: Path) -> None:
    """Held once, given back by every row."""
    alter(path, f"ALTER TABLE lines ADD COLUMN width TEXT DEFAULT '{'x' * 20_000}'")


def many_defaults(path: Path) -> None:
    """Each short: 30 MB from 1.5."""
    alter(
        path,
        "CREATE TABLE other (a TEXT)",
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
        "INSERT INTO other SELECT i FROM n",
        *(f"ALTER TABLE other ADD COLUMN c{n} TEXT DEFAULT '{'x' * 60}'" for n in range(10)),
    )


def hidden_virtual(path: Path) -> None:
    """A row of the schema as no statement would write it."""
    alter(
        path,
        "PRAGMA writable_schema = ON",
        "INSERT INTO sqlite_master VALUES "
        "('table', 'more', 'more', 0, 'CREATE/**/VIRTUAL TABLE more USING fts4(a)')",
    )


def named_as_an_index(path: Path) -> None:
    alter(path, 'CREATE VIRTUAL TABLE "rtree_a" USING fts4("using rtree (id, minx, maxx, miny, maxy)")')


def index_of_more(path: Path) -> None:
    alter(path, 'CREATE VIRTUAL TABLE "rtree_a" USING rtree(id, minx, maxx, miny, maxy, +text)')


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    """Zeros all over what follows the first page."""
    path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096))


def shape_cut(path: Path) -> None:
    """A count of corners beyond the shape's end."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        blob = file.execute("SELECT geom FROM lines").fetchone()[0]
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    alter(path, *(f'DROP TRIGGER "{name}"' for name in names), f"UPDATE lines SET geom = x'{blob[:-20].hex()}'")


def nowhere(path: Path) -> None:
    write(path, "extra", [STREET], {"highway": ["service"]}, crs="")


def recipe(path: Path) -> None:
    """What GDAL would follow to other files."""
    path.write_text("<OGRVRTDataSource><OGRVRTLayer name='a'/></OGRVRTDataSource>")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (view, "has views or virtual tables"),
        (computed, "has computed columns"),
        (computed_contents, "has computed columns"),
        (computed_beside, "has computed columns"),
        (long_default, "has columns with long defaults"),
        (many_defaults, "has rows of more bytes than the file itself"),
        (hidden_virtual, "has views or virtual tables"),
        (named_as_an_index, "has views or virtual tables"),
        (index_of_more, "has views or virtual tables"),
        (cut, "damaged GeoPackage"),
        (overwritten, "damaged GeoPackage"),
        (shape_cut, "damaged GeoPackage"),
        (nowhere, "coordinate system"),
        (recipe, "is not a GeoPackage"),
        (lambda path: path.write_bytes(b""), "is not a GeoPackage"),
    ],
)
def test_a_file_that_is_wrong_says_so(town, harm, words):
    harm(town)
    with pytest.raises(CrossbandError, match=words) as told:
        read_map(town)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [
        ("_LARGEST", 1 << 16, "more than 0 MB"),
        ("_MOST_LAYERS", 2, "more than 2 layers"),
        ("_MOST_FEATURES", 6, "more than 6 features"),
        ("_MOST_PLACES", 30, "more than 30 corners"),
    ],
)
def test_what_is_too_large_says_so(town, monkeypatch, limit, most, words):
    monkeypatch.setattr(geopackage, limit, most)
    with pytest.raises(CrossbandError, match=words):
        read_map(town)


def all_to(page: bytes, child: int) -> bytes:
    """An inner page of a table's tree, whose branches are all one page."""
    assert page[0] == 5
    out = bytearray(page)
    for at in (8, *struct.unpack_from(f">{struct.unpack_from('>H', page, 3)[0]}H", page, 12)):
        struct.pack_into(">I", out, at, child)
    return bytes(out)


def test_rows_that_share_a_place_of_the_file_are_counted_each(town):
    """40 rows of 3,000 bytes, then 40 times 40 times 40 of them by two pages more."""
    with contextlib.closing(sqlite3.connect(town)) as file:
        file.execute("CREATE TABLE other (a BLOB)")
        file.executemany("INSERT INTO other VALUES (?)", [(bytes(3000),)] * 40)
        file.commit()
        root = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'other'").fetchone()[0]
    read_map(town)
    content, at = town.read_bytes(), 4096 * (root - 1)
    inner, pages = content[at : at + 4096], len(content) // 4096
    leaf = struct.unpack_from(">I", inner, 8)[0]
    content = content[:at] + all_to(inner, pages + 2) + content[at + 4096 :]
    content += all_to(inner, leaf) + all_to(inner, pages + 1)
    town.write_bytes(content[:28] + struct.pack(">I", pages + 2) + content[32:])
    with pytest.raises(CrossbandError, match="rows of more bytes than the file itself"):
        read_map(town)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_file_with_changes_beside_it_is_not_read_without_them(town, drawn, mode):
    """As QGIS has it open; a log that is empty, or all written, is none."""
    words = "has changes that are not yet in the file; close it in QGIS, or export it again"
    names = [
        name for (name,) in sqlite3.connect(town).execute("SELECT name FROM sqlite_master WHERE type='trigger'")
    ]
    alter(town, *(f'DROP TRIGGER "{name}"' for name in names))
    with contextlib.closing(sqlite3.connect(town)) as file:
        file.execute(f"PRAGMA journal_mode = {mode}")
        file.execute("PRAGMA cache_size = 1")
        file.execute("DELETE FROM lines")
        if mode == "wal":
            file.commit()
        else:
            file.execute("CREATE TABLE other AS SELECT hex(zeroblob(100000)) AS a")  # more than the cache
        with pytest.raises(CrossbandError, match=words):
            read_map(town)
        link = town.parent / "elsewhere" / "a.gpkg"
        link.parent.mkdir()
        link.symlink_to(town)
        with pytest.raises(CrossbandError, match=words):
            read_map(link)
        file.rollback()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        np.testing.assert_array_equal(read_map(town).extent, drawn.extent)
    Path(f"{town}-journal").write_bytes(bytes(512))
    read_map(town)


def test_a_layer_of_any_name_with_its_index_is_read(tmp_path):
    write(tmp_path / "a.gpkg", 'Straßen "neu", 2', [STREET, LAWN], {"highway": ["service", None]})
    assert read_map(tmp_path / "a.gpkg").extent[0] == pytest.approx(200, abs=1)


def test_an_engine_that_cannot_tell_views_from_tables_reads_nothing(town, monkeypatch):
    class Old(sqlite3.Connection):
        def execute(self, text, *given):
            return super().execute("SELECT 1 WHERE 0" if text == "PRAGMA table_list" else text, *given)

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: real(*given, **more, factory=Old))
    with pytest.raises(CrossbandError, match=r"use a Python with 3\.37 or newer"):
        read_map(town)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632"])
@pytest.mark.parametrize(
    "shape",
    [
        struct.pack("<BIdd", 1, 1, float("nan"), float("nan")),
        struct.pack("<BII", 1, 2, 0),
        struct.pack("<BII", 1, 3, 0),
        struct.pack("<BII", 1, 6, 0),
        struct.pack("<BIIBII", 1, 6, 1, 1, 3, 0),
    ],
    ids=["POINT", "LINESTRING", "POLYGON", "MULTIPOLYGON", "MULTIPOLYGON of one"],
)
def test_an_empty_shape_is_left_out_and_a_file_of_them_says_so(tmp_path, drawn, capsys, crs, shape):
    def add(path):
        pyogrio.raw.write(
            path,
            np.array([shape], object),
            [np.array(["tree"], object)],
            ["natural"],
            layer="extra",
            driver="GPKG",
            geometry_type="Unknown",
            crs=crs,
            append=path.exists(),
        )
        return path

    found = read_map(add(osm_driver(tmp_path / "town.gpkg", crs)))
    np.testing.assert_array_equal(found.labels, drawn.labels)
    assert "1 of 9 shapes have no place, and are left out" in capsys.readouterr().err
    with pytest.raises(CrossbandError, match="empty or nowhere on the earth, first feature extra/1; export"):
        read_map(add(tmp_path / "alone.gpkg"))


def test_a_layer_in_meters_that_says_degrees_is_named(tmp_path):
    far = ("LineString", [[500000.0, 5400000.0], [500100.0, 5400000.0]], {"highway": "service"})
    write(tmp_path / "a.gpkg", "roads", [STREET, far], {"highway": ["service", "service"]})
    with pytest.raises(CrossbandError, match="not on the earth, first feature roads/2; export it in longitude"):
        read_map(tmp_path / "a.gpkg")


def test_a_coordinate_system_that_is_not_known_is_said_in_one_line(tmp_path, monkeypatch):
    rasterio = pytest.importorskip("rasterio")

    def unknown(*_):
        raise rasterio.errors.CRSError("no\nsuch\x1b system " + 500 * "x")

    write(tmp_path / "a.gpkg", "roads", [STREET], {"highway": ["service"]}, "EPSG:32632")
    monkeypatch.setattr(warp, "transform", unknown)
    with pytest.raises(CrossbandError, match=r"not known \(no such system x+\); export it") as told:
        read_map(tmp_path / "a.gpkg")
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 400 + len(str(tmp_path))


def test_damage_anywhere_ends_in_a_map_or_a_sentence(town):
    whole, rng = town.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        harmed = bytearray(whole)
        for at in rng.integers(16, len(whole), 60):
            harmed[at] = rng.integers(256)
        town.write_bytes(harmed)
        with contextlib.suppress(CrossbandError):
            read_map(town)


def test_a_name_that_the_engine_takes_apart_says_so(town):
    with pytest.raises(CrossbandError, match="rename the file or folder without"):
        read_map(town.rename(town.with_name("a!b.gpkg")))
