"""What every segmentation network counts next to what was published, into docs/segmentation.md.

``python -m benchmarks.segmentation_counts``: networks without memory behind them, a minute, no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crossband.nn.counting import Cost
from crossband.papers.rsfnet import count_segmenter_cost

from ._harness import ROOT, write_section


@dataclass(frozen=True)
class Row:
    """A network, the published (parameters in millions, thop's 10^9), where its layers are known from, and how
    far that may be trusted."""

    name: str
    published: tuple[str | None, str | None]
    source: str
    confidence: str
    options: dict[str, Any] | None = None
    classes: int = 9
    size: tuple[int, int] = (480, 640)
    note: str = ""


_CODE = "the authors' code, in words and figures"
_MEMORY = "published figure from memory of model zoos or its paper"
_LATER = "very high; without biases, which later thops leave out, ours is that"
_PST = {"classes": 5, "size": (720, 1280)}
ROWS = (
    Row("rsfnet50_18", ("44.53", "64.69"), _CODE, "very high"),
    Row("rsfnet161_121", ("44.10", "95.02"), _CODE, "very high"),
    Row("rsfnet101_34", ("73.63", "98.82"), _CODE, "very high"),
    Row("rsfnet50_18", ("44.53", "194.56"), _CODE, "very high", note="PST900", **_PST),
    Row(
        "rsfnet50_18", ("43.11", "58.60"), _CODE, "very high", {"fusion": "sum", "confident": False}, note="sum"
    ),
    Row(
        "rsfnet50_18",
        ("43.42", "59.11"),
        _CODE,
        "very high",
        {"fusion": "concat", "confident": False},
        note="concatenation",
    ),
    Row(
        "rsfnet50_18",
        ("52.05", "73.80"),
        "DPANet's code, its width varied",
        "medium: head width picked by the count",
        {"fusion": "gma", "head": 128},
        note="GMA",
    ),
    Row(
        "rsfnet50_18",
        ("52.05", "222.37"),
        "DPANet's code, its width varied",
        "medium: 0.47 G unexplained",
        {"fusion": "gma", "head": 128},
        note="GMA, PST900",
        **_PST,
    ),
    Row("mfnet", ("0.74", "8.42"), "its code", "very high"),
    Row("rtfnet152", ("254.51", "336.69"), "its code", "very high"),
    Row("pstnet", ("31.04", "163.64"), "its code", "very high: thop counts the ResNet twice, see below"),
    Row(
        "fuseseg",
        ("141.52", "193.40"),
        "its paper and an unofficial code",
        "medium: two widths fitted to the count",
    ),
    Row("egfnet", ("62.78", "201.09"), _CODE, "very high", note="with its side outputs, as published"),
    Row(
        "mtanet",
        ("121.58", "264.96"),
        "none: abstract and counts",
        "low: **a reconstruction**",
        note="with its side outputs, as published",
    ),
    Row(
        "abmdrnet",
        ("64.60", "194.33"),
        "its authors' follow-up's code",
        "high; published figures quoted in later papers, of convolutions alone (ours 194.30)",
    ),
    Row("mffenet", (None, None), "an unofficial code", "medium"),
    Row("frrn_a", ("17.7", None), _CODE, f"very high; {_MEMORY}"),
    Row("frrn_b", ("24.8", None), _CODE, f"very high; {_MEMORY}"),
    Row("pspnet101", ("65.70", None), "its author's code", f"very high; {_MEMORY}"),
    Row("bisenetv1", (None, None), "its first author's code", "layers very high; no count to check against"),
    Row("bisenetv2", ("3.4", None), "two public implementations", f"very high; {_MEMORY}"),
    Row(
        "dfn101",
        (None, None),
        "its first author's code",
        "layers very high; no count to check against",
        note="with its border net and all heads",
    ),
    Row("caanet101", (None, None), _CODE, "layers very high; no count to check against"),
    Row("hrnet48", ("65.8", None), "its code, by timm", f"very high; {_MEMORY}"),
    Row("erfnet", ("2.1", None), _CODE, "very high; published figure from its paper"),
    Row("erfnet_pst900", (None, None), "PST900's code", "very high", note="PST900", **_PST),
    Row("cmx_b2", ("66.6", None), _CODE, "very high; FLOPs published: 67.6 G", classes=40, note="40 classes"),
    Row("cmx_b4", ("139.9", None), _CODE, "very high; FLOPs published: 134.3 G", classes=40, note="40 classes"),
    Row("dformer_t", ("6.0", "11.8"), _CODE, "very high", classes=40, note="40 classes"),
    Row("dformer_s", ("18.7", "25.6"), _CODE, _LATER, classes=40, note="40 classes"),
    Row("dformer_b", ("29.5", "41.9"), _CODE, _LATER, classes=40, note="40 classes"),
    Row("dformer_l", ("39.0", "65.7"), _CODE, _LATER, classes=40, note="40 classes"),
)


def table(rows: tuple[Row, ...] = ROWS) -> str:
    lines = [
        "| network | parameters | published, M | difference, M | thop's FLOPs, G | published, G | "
        "difference, G | source of the facts | confidence |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cost = count_segmenter_cost(row.name, ["rgb", "tir"], row.classes, row.size, row.options)
        lines.append(_line(row, cost))
    return "\n".join(lines)


def _line(row: Row, cost: Cost) -> str:
    params, thop = row.published
    cells = [
        f"`{row.name}`" + (f" ({row.note})" if row.note else ""),
        f"{round(cost.params_m * 1e6):,}",
        params or "not given",
        _difference(cost.params_m, params),
        f"{cost.thop_g:.2f}",
        thop or "not given",
        _difference(cost.thop_g, thop),
        row.source,
        row.confidence,
    ]
    return f"| {' | '.join(cells)} |"


def _difference(ours: float, published: str | None) -> str:
    """Ours less what was printed; 0 where ours is that to the printed decimals."""
    if published is None:
        return "-"
    half = 0.5 * 10.0 ** -len(published.partition(".")[2])
    off = ours - float(published)
    return "0" if abs(off) <= half else f"{off:+.2f}"


def main() -> str:
    return (
        "RGB + thermal, nine classes, 480x640 unless said otherwise; counted as papers count, deployed and "
        f"without training heads unless said otherwise. PST900: five classes, 720x1280.\n\n{table()}"
    )


if __name__ == "__main__":
    text = main()
    write_section(ROOT / "docs" / "segmentation.md", "counts", text)
    print(text)
