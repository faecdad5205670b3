"""The tables of ``docs/uav.md``, from what ``crossband reproduce thermal-reid`` measured."""

from __future__ import annotations

from typing import Any

from .published_thermal_reid import PUBLISHED_CMC

__all__ = ["markdown"]

_RANKS = (1, 5, 10, 15, 20)


def markdown(results: dict[str, Any]) -> str:
    """Two tables: table 2 beside ours, and the stages.

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
        "the same, grey probes": matching["grey"],
        "learned descriptor, translated probes": matching["descriptor, translated"],
        "learned descriptor, colour probes": matching["descriptor, colour"],
        "thermal probes of the same moment": matching["true thermal"],
        "the whole chain, on detections": results["chain"],
    }
    one, grey, gain = matching["translated"], matching["grey"], matching["translated_less_grey"]
    return [
        f"Percent; {one['n_queries']} probes, {one['n_gallery']:.0f} boxes in a gallery on average.",
        f"A random order has an nAUC of {matching['chance']:.1f}. beta is {one['beta']:g} for translated",
        f"probes, {grey['beta']:g} for grey ones;",
        f"with histograms alone the nAUC is {matching['parts']['histogram']:.1f}, with regions alone "
        f"{matching['parts']['regions']:.1f}. Translated less grey probes, the same ones: nAUC "
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
    made, label, chain = results["city_translation"], results["city_labelling"], results["chain"]
    rows = {
        "translation, objects": _kelvin(made, "kelvin_objects", "kelvin_constant_objects"),
        "translation, all pixels": f"{_kelvin(made, 'kelvin', 'kelvin_constant')}; SSIM {made['ssim']:.2f}",
        "labelling of thermal images": f"mIoU {label['miou']:.1f}, accuracy {label['accuracy']:.1f} %",
        "localisation by predicted labellings": _place(results["localisation"]),
        "the same, medians": _parts(results["localisation"]),
        "localisation by true labellings": _place(results["city_localisation"]),
        "alignment": _flow(results["alignment"]),
        "detection without semantics": _detections(results["city_detection_plain"]),
        "detection with the map, true positions": _detections(results["city_detection"]),
        "detection with the map, localised and aligned": _detections(chain["detection"]),
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
        "none" if chain[name] is None else f"{chain[name]:.1f} m" for name in ("metres", "first_metres")
    )
    return (
        f"position on the map, median error: nearest right detection {right} ({chain['n_found']} probes), "
        f"first match, right or wrong, {first}"
    )
