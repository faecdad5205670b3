"""``crossband reproduce thermal-reid``: trains what the chain needs, measures every stage on the city, and
puts the paper's table 2 beside it.

The figures are of different worlds: LAERT is not public, the city is simulated, and the networks of the
``city_*`` recipes learn for minutes, not for 68 hours. What can be compared is the order of the methods.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..files import make_folder, write_file
from ..frames import Frames
from ..progress import note
from ..reports.published_thermal_reid import PUBLISHED_CMC
from ..reports.thermal_reid import markdown
from ..training.checkpoint import read_account
from ..training.items import part_frames
from ..training.recipe import Recipe, read_recipe
from ..training.scenes import Scenes
from ..training.verbs import Reproduction, evaluate, train
from ..weights import file_digest
from .experiment import (
    Matcher,
    descriptor_curve,
    measure_alignment,
    measure_chain,
    measure_localisation,
    measure_matching,
    measure_not_there,
)
from .flight import Flight, open_flight, with_rough_positions
from .networks import Networks
from .semantic_map import read_map
from .stages import align, detect, localise

__all__ = ["RECIPES", "reproduce_thermal_reid"]

RECIPES = {
    "city_translation": "translation", "city_labelling": "labelling", "city_localisation": "localisation",
    "city_detection": "detection", "city_detection_plain": None, "city_vrai": None, "city_bot_bs": None,
}  # fmt: skip
"""The recipes that are trained, and the network of the chain that each makes."""

_LEAST = 0.05  # score of a detection that the chain takes
_ROUGH = 40.0  # metres that a flight's positions are wrong by, at most


def reproduce_thermal_reid(
    recipes: Path,
    data_root: str | Path,
    out: str | Path,
    mode: Literal["evaluate", "train"],
    rows: Sequence[str] | None = None,
    overrides: Iterable[str] = (),
) -> Reproduction:
    """Train (where asked) and measure; writes ``results.json``, ``tables.md`` and ``models/``.

    Each question is answered once for the same networks and frames, in ``OUT/measures``.

    Args:
        recipes: the folder of recipes.
        data_root: the folder that their frames are relative to.
        out: the folder.
        mode: ``train`` goes on with each recipe to its end first.
        rows: the recipes to train; all where ``None``. What is measured needs all of them.
        overrides: ``key=value`` for every recipe.

    Raises:
        CrossbandError: a recipe or checkpoint that is missing.
    """
    out, given = make_folder(out), list(overrides)
    read = {name: read_recipe(recipes / f"{name}.yaml", given) for name in RECIPES}
    for name in rows or RECIPES:
        if mode == "train":
            note(name)
            train(read[name], (), out / name, data_root=data_root)
    lacking = [name for name in RECIPES if not (out / name / "best.safetensors").is_file()]
    if lacking:
        missing = {
            name: f"no checkpoint {out / name / 'best.safetensors'}; reproduce --train makes it"
            for name in lacking
        }
        return Reproduction(_table(None), missing)
    models = make_folder(out / "models")
    for name, network in RECIPES.items():
        if network is not None:
            shutil.copyfile(out / name / "best.safetensors", models / f"{network}.safetensors")
    results = _Measures(read, Path(data_root), out).all()
    write_file(out / "results.json", json.dumps(results, indent=1))
    write_file(out / "tables.md", markdown(results))
    return Reproduction(_table(results), {})


@dataclass
class _Measures:
    """Every question, asked once; answers are kept by what they depend on."""

    recipes: dict[str, Recipe]
    root: Path
    out: Path

    def __post_init__(self) -> None:
        self.networks = Networks(self.out / "models")
        self.digests = {name: file_digest(self.out / name / "best.safetensors") for name in RECIPES}
        self._matchers: dict[str, Matcher] = {}
        self._flight: tuple[Flight, Any] | None = None

    def frames(self, which: str) -> Frames:
        """All frames of the city of ``val`` or ``test``, by day and by night."""
        data: Any = self.recipes["city_detection"].data
        part = data.val if which == "val" else data.test["all"]
        return part_frames(part.model_copy(update={"every": 1}), self.root)

    def matcher(self, which: str) -> Matcher:
        if which not in self._matchers:
            self._matchers[which] = Matcher(Scenes(self.frames(which), 400), self.networks.translator[0])
        return self._matchers[which]

    def all(self) -> dict[str, Any]:
        from .. import __version__

        found: dict[str, Any] = {
            "crossband": __version__, "machine": f"{platform.machine()}, {_processor()}, no GPU",
            "trained": {name: _trained(self.out / name) for name in RECIPES},
        }  # fmt: skip
        for name in RECIPES:
            found[name] = self._once(name, [name], partial(self._evaluated, name))
        everything = list(RECIPES)
        found["localisation"] = self._once(
            "localisation", ["city_labelling", "city_localisation"], self._localisation
        )
        found["alignment"] = self._once("alignment", [], self._alignment)
        found["matching"] = self._once("matching", ["city_translation"], self._matching)
        beta = found["matching"]["translated"]["beta"]
        found["not_there"] = self._once(
            "not_there", ["city_translation"],
            lambda: measure_not_there(self.matcher("val"), self.matcher("test"), beta),
        )  # fmt: skip
        calibration = {"beta": beta, "threshold": found["not_there"]["threshold"]}
        write_file(self.out / "models" / "calibration.json", json.dumps(calibration, indent=1))
        found["chain"] = self._once("chain", everything, self._chain)
        return found

    def _once(self, name: str, depends: list[str], ask: Callable[[], Any]) -> Any:
        recipes = {key: recipe.model_dump(mode="json") for key, recipe in self.recipes.items()}
        text = json.dumps(
            [name, {key: self.digests[key] for key in depends}, recipes], sort_keys=True, default=str
        )
        key = hashlib.sha256(text.encode()).hexdigest()
        path = self.out / "measures" / f"{name}.json"
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["key"] == key:
                return kept["answer"]
        note(f"measuring {name}")
        answer = ask()
        make_folder(path.parent)
        write_file(path, json.dumps({"key": key, "answer": answer}, indent=1))
        return answer

    def _evaluated(self, name: str) -> Any:
        done = evaluate(self.recipes[name], self.out / name / "best.safetensors", data_root=self.root)
        return next(iter(done["tests"].values()))

    def _localisation(self) -> Any:
        search: Any = self.recipes["city_localisation"]
        return measure_localisation(
            self.frames("test"), self.networks.labeller, self.networks.locator, search.search, search.seed
        )

    def _alignment(self) -> Any:
        from ..simulation import simulate

        recipe: Any = self.recipes["city_labelling"]
        made = recipe.data.test["all"].simulate
        size = (256, 208) if made is None else made.size
        path = self.root / "city" / "uav_4"
        if (path / "frames.parquet").is_file():
            frames = Frames.read(path / "frames.parquet")
        else:
            frames = simulate("uav", 12, size, 14, path, misaligned=True)
        return measure_alignment(frames, recipe.classes)

    def _matching(self) -> Any:
        val, test = self.matcher("val"), self.matcher("test")
        found = measure_matching(val, test)
        for probe in ("translated", "colour"):
            found[f"descriptor, {probe}"] = descriptor_curve(test, probe).to_json()
        return found

    def _chain(self) -> Any:
        frames = self.frames("test")
        matcher, networks = self.matcher("test"), self.networks
        ground = read_map(frames.root)
        flight = with_rough_positions(open_flight(frames.root / "frames.parquet"), ground, _ROUGH, seed=5)
        folder = self.out / "chain"
        positions = localise(flight, ground, networks.labeller, networks.locator, folder)
        labels = align(flight, ground, positions, folder) if networks.detector.network.semantics else None
        found = detect(flight, networks.detector, folder, labels, _LEAST)
        from ..metrics.detection import score_detections

        scenes = matcher.scenes
        return {
            "detection": score_detections(found, scenes.boxes, networks.detector.classes).to_json(),
            **measure_chain(scenes, networks, positions, found, matcher),
        }


def _trained(folder: Path) -> dict[str, Any]:
    account = read_account(folder / "best.safetensors")
    return {"epoch": account["epoch"], "seed": account["recipe"]["seed"], "title": account["recipe"]["title"]}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        return platform.processor() or "unknown processor"
    return f"{len(names)} x {names[0]}" if names else platform.processor()


_METHODS = {"VRAI": "city_vrai", "BoT-BS": "city_bot_bs", "ThermalReID": "matching"}


def _table(results: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Table 2, a row a figure."""
    rows = []
    for method, published in PUBLISHED_CMC.items():
        ours = _curve(results, method)
        for figure, value in published.figures.items():
            mine = None if ours is None else ours["nauc"] if figure == "nAUC" else ours["cmc"][figure[4:]]
            rows.append({"table": "2", "method": method, "figure": figure, "published": value, "ours": mine})
    return rows


def _curve(results: dict[str, Any] | None, method: str) -> dict[str, Any] | None:
    if results is None:
        return None
    found = results[_METHODS[method]]
    return found["translated"] if method == "ThermalReID" else found
