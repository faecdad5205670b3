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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import read_metadata
from ..data.items import part_frames
from ..data.scenes import Scenes
from ..files import make_folder, write_file
from ..frames import Frames
from ..progress import note
from ..reports.plots import plot_cmc
from ..training import evaluate, train
from ..training.recipe import Recipe, read_recipe
from ..uav.flight import Flight, open_flight, with_rough_positions
from ..uav.networks import Networks
from ..uav.semantic_map import read_map
from ..uav.stage_evaluation import (
    Matcher,
    descriptor_curve,
    measure_alignment,
    measure_chain,
    measure_localization,
    measure_matching,
    measure_not_there,
)
from ..uav.stages import align, detect, localize
from ..weights import file_digest
from ._registry import Reproduction, Request, register_paper
from ._reproduce import recipe_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RECIPES", "reproduce_thermal_reid"]


@dataclass(frozen=True)
class PublishedCmc:
    """One row of table 2, on LAERT.

    Attributes:
        method: as the paper calls it.
        cmc: percent, by rank.
        nauc: percent.
    """

    method: str
    cmc: Mapping[int, float]
    nauc: float

    @property
    def figures(self) -> dict[str, float]:
        """All of them, by the name of their column."""
        return {**{f"r = {rank}": value for rank, value in self.cmc.items()}, "nAUC": self.nauc}


_RANKS = (1, 5, 10, 15, 20)

PUBLISHED_CMC = {
    method: PublishedCmc(method, dict(zip(_RANKS, row[:5], strict=True)), row[5])
    for method, row in {
        "VRAI": (12.11, 22.71, 32.66, 39.86, 41.53, 33.23),
        "BoT-BS": (14.12, 21.21, 29.12, 34.55, 38.98, 31.17),
        "ThermalReID": (18.21, 32.43, 41.56, 44.31, 46.34, 39.11),
    }.items()
}
"""Table 2, by method."""


RECIPES = {
    "city_translation": "translation",
    "city_labeling": "labeling",
    "city_localization": "localization",
    "city_detection": "detection",
    "city_detection_plain": None,
    "city_vrai": None,
    "city_bot_bs": None,
}
"""The recipes that are trained, and the network of the chain that each makes."""

_LEAST = 0.05  # score of a detection that the chain takes
_ROUGH = 40.0  # meters that a flight's positions are wrong by, at most


@register_paper(
    "thermal-reid",
    "Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks",
)
def reproduce_thermal_reid(request: Request) -> Reproduction:
    """Train (where asked) and measure.

    Writes ``results.json``, ``tables.md``, ``cmc.png`` and ``models/``.

    Each question is answered once for the same networks and frames, in ``OUT/measures``. The rows are recipes
    to train; what is measured needs all of them.

    Raises:
        CrossbandError: a recipe or checkpoint that is missing.
    """
    recipes, out = recipe_folder("thermal_reid", request.recipes), make_folder(request.out)
    read = {name: read_recipe(recipes / f"{name}.yaml", request.overrides) for name in RECIPES}
    for name in request.rows or RECIPES:
        if request.mode == "train":
            note(name)
            train(read[name], (), out / name, data_root=request.data_root)
    checkpoints = {name: out / name / "best.safetensors" for name in RECIPES}
    missing = {
        name: f"no checkpoint {path}; reproduce in the mode train makes it"
        for name, path in checkpoints.items()
        if not path.is_file()
    }
    if missing:
        return Reproduction(_table(None), missing)
    models = make_folder(out / "models")
    for name, network in RECIPES.items():
        if network is not None:
            shutil.copyfile(checkpoints[name], models / f"{network}.safetensors")
    results = _Measures(read, request.data_root, out).all()
    write_file(out / "results.json", json.dumps(results, indent=1))
    write_file(out / "tables.md", markdown(results))
    write_file(out / "cmc.png", partial(draw_cmc(results).savefig, format="png"))
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
            "crossband": __version__,
            "machine": f"{platform.machine()}, {_processor()}, no GPU",
            "trained": {name: _trained(self.out / name) for name in RECIPES},
        }
        for name in RECIPES:
            found[name] = self._once(name, [name], partial(self._evaluated, name))
        everything = list(RECIPES)
        found["localization"] = self._once(
            "localization", ["city_labeling", "city_localization"], self._localization
        )
        found["alignment"] = self._once("alignment", ["city_labeling"], self._alignment)
        found["matching"] = self._once("matching", ["city_translation"], self._matching)
        beta = found["matching"]["translated"]["beta"]
        found["not_there"] = self._once(
            "not_there",
            ["city_translation"],
            lambda: measure_not_there(self.matcher("val"), self.matcher("test"), beta),
        )
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
        return next(iter(done.tests.values()))

    def _localization(self) -> Any:
        search: Any = self.recipes["city_localization"]
        return measure_localization(
            self.frames("test"), self.networks.labeler, self.networks.locator, search.search, search.seed
        )

    def _alignment(self) -> Any:
        from ..simulation import simulate

        recipe: Any = self.recipes["city_labeling"]
        made = recipe.data.test["all"].simulate
        size = (208, 256) if made is None else made.size
        path = self.root / "city" / "uav_4"
        if (path / "frames.parquet").is_file():
            frames = Frames.read(path / "frames.parquet")
        else:
            frames = simulate("uav", 12, size, 14, path, misaligned=True)
        return measure_alignment(frames, recipe.classes, self.networks.labeler)

    def _matching(self) -> Any:
        val, test = self.matcher("val"), self.matcher("test")
        found = measure_matching(val, test)
        for probe in ("translated", "color"):
            found[f"descriptor, {probe}"] = descriptor_curve(test, probe).to_dict()
        return found

    def _chain(self) -> Any:
        frames = self.frames("test")
        matcher, networks = self.matcher("test"), self.networks
        ground = read_map(frames.root)
        flight = with_rough_positions(open_flight(frames.root / "frames.parquet"), ground, _ROUGH, seed=5)
        folder = self.out / "chain"
        positions = localize(flight, ground, networks.labeler, networks.locator, folder)
        labels = None
        if networks.detector.reads_map:
            labels = align(flight, ground, positions, networks.labeler, folder)
        found = detect(flight, networks.detector, folder, labels, _LEAST)
        from ..metrics.detection import score_detections

        scenes = matcher.scenes
        return {
            "detection": score_detections(
                found, scenes.boxes, networks.detector.classes, scenes.crowds
            ).to_dict(),
            **measure_chain(scenes, networks, positions, found, matcher),
        }


def _trained(folder: Path) -> dict[str, Any]:
    metadata = read_metadata(folder / "best.safetensors")
    return {
        "epoch": metadata["epoch"],
        "seed": metadata["recipe"]["seed"],
        "title": metadata["recipe"]["title"],
    }


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


def draw_cmc(results: dict[str, Any]) -> Figure:
    """Draw the CMC of table 2, ours beside the paper's."""
    ours = {method: _curve(results, method) for method in PUBLISHED_CMC}
    curves = {
        method: dict(enumerate(found["curve"], 1))
        if "curve" in found
        else {int(rank): value for rank, value in found["cmc"].items()}
        for method, found in ours.items()
        if found is not None
    }
    return plot_cmc(curves, {method: published.cmc for method, published in PUBLISHED_CMC.items()})


def markdown(results: dict[str, Any]) -> str:
    """Return two Markdown tables: table 2 beside ours, and the stages.

    Args:
        results: ``results.json``.
    """
    said = f"Written by `crossband reproduce thermal-reid` on {results['machine']}."
    return "\n".join([said, "", *_matching(results), "", *_stages(results), ""])


def _matching(results: dict[str, Any]) -> list[str]:
    matching = results["matching"]
    ours = {
        "VRAI": results["city_vrai"],
        "BoT-BS": results["city_bot_bs"],
        "ThermalReID": matching["translated"],
        "the same, gray probes": matching["gray"],
        "learned descriptor, translated probes": matching["descriptor, translated"],
        "learned descriptor, color probes": matching["descriptor, color"],
        "thermal probes of the same moment": matching["true thermal"],
        "the whole chain, on detections": results["chain"],
    }
    one, gray, gain = matching["translated"], matching["gray"], matching["translated_less_gray"]
    return [
        f"Percent; {one['n_queries']} probes, {one['n_gallery']:.0f} boxes in a gallery on average.",
        f"A random order has an nAUC of {matching['chance']:.1f}. beta is {one['beta']:g} for translated",
        f"probes, {gray['beta']:g} for gray ones;",
        f"with histograms alone the nAUC is {matching['parts']['histogram']:.1f}, with regions alone "
        f"{matching['parts']['regions']:.1f}. Translated less gray probes, the same ones: nAUC "
        f"{gain['nauc']:+.1f} ({gain['ci95'][0]:+.1f} to {gain['ci95'][1]:+.1f}).",
        "",
        "| method | r = 1 | r = 5 | r = 10 | r = 15 | r = 20 | nAUC | 95 % | paper: r = 1, r = 20, nAUC |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(name, curve) for name, curve in ours.items()),
    ]


def _row(name: str, curve: dict[str, Any]) -> str:
    figures = " | ".join(f"{curve['cmc'][str(rank)]:.1f}" for rank in _RANKS)
    low, high = curve["nauc_ci95"]
    paper = PUBLISHED_CMC.get(name)
    said = f"{paper.cmc[1]:.2f}, {paper.cmc[20]:.2f}, {paper.nauc:.2f}" if paper else ""
    return f"| {name} | {figures} | {curve['nauc']:.1f} | {low:.1f} to {high:.1f} | {said} |"


def _stages(results: dict[str, Any]) -> list[str]:
    made, label, chain = results["city_translation"], results["city_labeling"], results["chain"]
    rows = {
        "translation, objects": _kelvin(made, "kelvin_objects", "kelvin_constant_objects"),
        "translation, all pixels": f"{_kelvin(made, 'kelvin', 'kelvin_constant')}; SSIM {made['ssim']:.2f}",
        "labeling of thermal images": f"mIoU {label['miou']:.1f}, accuracy {label['accuracy']:.1f} %",
        "localization by predicted labelings": _place(results["localization"]),
        "the same, medians": _parts(results["localization"]),
        "localization by true labelings": _place(results["city_localization"]),
        "alignment": _flow(results["alignment"]),
        "detection without semantics": _detections(results["city_detection_plain"]),
        "detection with the map, true positions": _detections(results["city_detection"]),
        "detection with the map, localized and aligned": _detections(chain["detection"]),
        "not there": _there(results["not_there"]),
        "the whole chain": _positions(chain),
    }
    return ["| stage | figure |", "|---|---|", *(f"| {name} | {figure} |" for name, figure in rows.items())]


def _kelvin(found: dict[str, Any], error: str, constant: str) -> str:
    return f"{found[error]:.2f} K wrong on average; the ambient temperature itself {found[constant]:.2f} K"


def _place(found: dict[str, Any]) -> str:
    low, high = found["median_ci95"]
    recall = ", ".join(f"{found['recall'][n]:.0f}" for n in ("1", "5", "10"))
    return (
        f"median {found['median_m']:.1f} m ({low:.1f} to {high:.1f}), mean {found['mean_m']:.1f} m, 90 % "
        f"within {found['p90_m']:.1f} m; recall at 1, 5, 10 of {found['tiles']:.0f} tiles: {recall} %; "
        f"rough positions given: median {found['rough_median_m']:.1f} m; {found['n_frames']} frames, "
        f"{found['n_draws']} rough positions each"
    )


def _parts(found: dict[str, Any]) -> str:
    """The medians of the conditions and cameras."""
    parts = {name: part for name, part in found.items() if isinstance(part, dict) and "median_m" in part}
    return ", ".join(
        f"{name} {part['median_m']:.1f} m ({part['n_frames']} frames)" for name, part in parts.items()
    )


def _flow(found: dict[str, Any]) -> str:
    return (
        f"mean end-point error {found['before_px']:.2f} px before, {found['after_px']:.2f} px after; "
        f"{found['improved']:.0f} % of {found['n_frames']} frames improve"
    )


def _detections(found: dict[str, Any]) -> str:
    classes = ", ".join(f"{name} {value:.1f}" for name, value in found["ap50"].items())
    return f"mAP {found['map']:.1f}; at IoU 0.5 {found['map50']:.1f} ({classes}); mean IoU {found['iou']:.1f}"


def _there(found: dict[str, Any]) -> str:
    return (
        f"threshold {found['threshold']:.3f}; {found['found']:.0f} % of {found['n_present']} probes in "
        f"the flight that has them are accepted, {found['refused']:.0f} % of {found['n_absent']} elsewhere "
        f"refused"
    )


def _positions(chain: dict[str, Any]) -> str:
    right, first = (
        "none" if chain[name] is None else f"{chain[name]:.1f} m" for name in ("meters", "first_meters")
    )
    return (
        f"position on the map, median error: nearest right detection {right} ({chain['n_found']} probes), "
        f"first match, right or wrong, {first}"
    )
