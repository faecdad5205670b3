"""Tables II to V of Li et al., RSFNet, 2023, as printed: a line a network, by the name of its recipe.

``_rgb`` are the rows "3c". FRRN is taken for model B, BiSeNetV1 has ResNet-18. Two figures are misprints of the
paper that no mean bears out, and stand as printed: EGFNet's IoU of color_cone on MFNet (8.3), BiSeNetV1 3c's of
survivor on PST900 (5.7).
"""

from __future__ import annotations

__all__ = ["ACCURACY", "DAY_NIGHT", "FPS", "IOU", "PST900_IOU", "table"]

ACCURACY = """
frrn_b_rgb 99.3 80.0 53.0 65.1 34.0 21.6 0.0 34.7 36.2 47.1
frrn_b 99.5 81.9 66.2 62.8 41.2 12.5 0.0 37.2 35.2 48.5
pspnet101_rgb 98.7 94.2 67.6 70.7 28.1 26.9 3.4 37.3 40.6 51.9
pspnet101 98.9 94.0 69.4 71.6 27.7 26.7 20.8 36.3 40.7 54.0
bisenetv1_rgb 99.2 90.4 70.2 65.6 38.2 27.8 2.6 43.9 46.6 53.8
bisenetv1 99.3 90.1 77.3 66.0 49.9 28.7 7.6 38.5 44.9 55.8
dfn101_rgb 98.6 90.7 67.7 71.5 49.2 35.1 4.1 44.2 54.6 57.3
dfn101 98.6 90.0 73.2 75.5 54.0 38.9 10.2 48.3 55.8 60.5
hrnet48_rgb 99.2 92.2 73.1 74.9 47.0 38.3 7.3 54.6 61.5 60.9
hrnet48 98.6 92.8 79.3 78.3 59.8 25.7 18.8 56.5 63.5 63.7
bisenetv2_rgb 98.3 82.8 50.1 49.2 13.9 9.8 0.0 22.2 25.6 39.1
bisenetv2 98.4 82.5 69.1 46.3 24.0 7.5 0.0 17.8 22.6 40.9
caanet101_rgb 99.2 91.3 72.8 68.2 46.6 29.8 9.1 51.6 50.1 57.6
caanet101 99.3 91.4 80.8 69.3 51.4 27.0 2.3 52.8 61.4 59.5
mfnet 98.7 77.2 67.0 53.9 36.2 12.5 0.1 30.3 30.0 45.1
rtfnet152 99.4 93.0 79.3 76.8 60.7 38.5 0.0 45.5 74.7 63.1
pstnet 98.8 89.4 74.8 65.8 42.5 34.6 0.0 32.7 61.1 55.5
fuseseg 99.0 93.1 81.4 78.5 68.4 29.1 63.7 55.8 66.4 70.6
abmdrnet 98.6 94.3 90.0 75.7 64.0 44.1 31.0 61.7 66.2 69.5
mffenet 99.3 91.4 82.6 76.7 58.7 44.9 60.0 64.4 72.7 72.3
egfnet 98.7 95.8 89.0 80.6 71.5 48.7 33.6 65.3 71.1 72.7
mtanet 98.4 95.8 90.9 80.3 75.3 62.8 38.7 63.8 70.8 75.2
rsfnet50_18_reparam 96.4 93.4 91.8 83.7 75.1 39.7 59.1 59.1 60.5 73.2
rsfnet161_121_reparam 98.1 94.6 89.7 88.2 60.3 27.2 56.7 68.4 81.3 73.8
rsfnet101_34_reparam 97.3 95.9 90.8 81.4 82.1 30.9 63.0 65.0 76.2 75.9
"""
"""Table II: the accuracy of MFNet's nine classes, and mAcc, percent."""

IOU = """
frrn_b_rgb 96.7 71.2 46.1 53.0 27.1 19.1 0.0 32.5 30.5 41.8
frrn_b 96.9 74.7 60.8 50.3 35.0 11.5 0.0 34.0 34.6 44.2
pspnet101_rgb 97.2 82.6 54.1 55.8 22.1 23.3 1.1 33.1 33.5 44.7
pspnet101 97.4 84.7 57.5 56.2 22.9 23.3 4.4 32.5 37.4 46.3
bisenetv1_rgb 97.6 82.5 58.5 57.1 29.6 23.1 1.1 39.8 43.5 48.1
bisenetv1 97.9 83.4 69.3 57.4 40.3 23.9 2.8 36.9 44.0 50.7
dfn101_rgb 97.7 81.4 52.8 57.5 34.9 23.8 0.9 31.0 47.5 47.5
dfn101 97.7 84.4 65.0 60.9 40.4 25.7 4.0 42.5 47.4 52.0
hrnet48_rgb 97.3 86.6 59.8 61.3 33.2 28.7 1.4 47.2 46.2 51.3
hrnet48 98.2 87.6 71.0 63.4 42.5 19.1 2.7 49.8 44.5 53.2
bisenetv2_rgb 96.0 63.1 41.3 41.4 11.4 7.9 0.0 20.5 20.0 33.5
bisenetv2 96.3 67.4 57.7 36.3 21.1 5.8 0.0 16.6 20.7 35.8
caanet101_rgb 97.8 85.7 61.6 59.2 34.4 25.9 4.0 46.7 47.3 51.4
caanet101 98.0 87.3 71.2 59.1 40.1 24.1 0.8 49.4 49.2 53.2
mfnet 96.9 65.9 58.9 42.9 29.9 9.9 0.0 25.2 27.7 39.7
rtfnet152 98.5 87.4 70.3 62.7 45.3 29.8 0.0 29.1 55.7 53.2
pstnet 97.4 77.0 67.2 50.8 35.2 25.2 0.0 29.9 55.0 48.6
fuseseg 97.6 87.9 71.7 64.6 44.8 22.7 6.4 46.9 47.9 54.5
abmdrnet 97.8 84.8 69.6 60.3 45.1 33.1 5.1 47.4 50.0 54.8
mffenet 97.8 87.1 74.4 61.3 45.6 30.6 5.2 57.0 40.5 55.5
egfnet 98.0 87.6 69.8 58.8 42.8 33.8 7.0 8.3 47.1 54.8
mtanet 98.0 88.1 71.5 60.7 40.9 38.9 13.7 45.9 47.2 56.1
rsfnet50_18_reparam 97.7 83.5 72.7 61.9 40.7 31.7 11.2 50.9 45.5 55.1
rsfnet161_121_reparam 97.9 86.3 72.9 61.7 43.7 30.8 6.5 52.4 47.3 55.5
rsfnet101_34_reparam 97.9 85.8 72.0 60.3 43.3 32.3 8.8 52.9 52.7 56.2
"""
"""Table II: the IoU of MFNet's nine classes, and mIoU."""

FPS = """
mfnet 205.47 137.39
rtfnet152 33.86 14.63
pstnet 102.82 64.76
fuseseg - 16.88
egfnet 18.36 8.12
mtanet - 8.40
rsfnet50_18_reparam 81.36 40.47
rsfnet161_121_reparam 34.15 14.10
rsfnet101_34_reparam 57.31 28.40
"""
"""Table III: images of 480x640 per second on a GeForce RTX 2080 Ti, and on a TITAN Xp."""

DAY_NIGHT = """
frrn_b_rgb 45.1 40.0 41.6 37.3
frrn_b 42.4 38.0 46.2 42.3
pspnet101_rgb 49.3 41.9 47.8 41.5
pspnet101 47.2 41.0 50.5 44.0
bisenetv1_rgb 51.3 44.4 48.8 43.8
bisenetv1 50.6 45.0 52.5 47.8
dfn101_rgb 53.7 42.2 52.4 44.6
dfn101 53.4 43.9 57.4 51.8
hrnet48_rgb 59.7 47.2 55.7 49.1
hrnet48 50.0 41.4 50.2 44.9
bisenetv2_rgb 37.2 32.0 34.8 29.7
bisenetv2 35.8 30.8 39.7 34.5
caanet101_rgb 52.9 46.2 53.1 47.4
caanet101 52.3 46.5 55.4 50.9
mfnet 42.6 36.1 41.4 36.8
rtfnet152 60.0 45.8 60.7 54.8
pstnet 45.3 39.6 55.8 48.2
fuseseg 62.1 47.8 67.3 54.6
mffenet 70.5 47.9 70.0 56.7
egfnet 74.4 47.3 67.0 55.0
mtanet 77.7 47.5 72.8 58.0
rsfnet50_18_reparam 69.1 47.6 71.2 55.8
rsfnet161_121_reparam 71.8 47.7 73.0 56.1
rsfnet101_34_reparam 72.9 49.1 73.8 57.2
"""
"""Table IV: mAcc and mIoU by day, mAcc and mIoU by night."""

PST900_IOU = """
erfnet_pst900_rgb 98.7 61.2 65.3 42.4 41.7 61.9
erfnet_pst900 98.7 58.8 68.1 52.8 34.3 62.6
pspnet101_rgb 99.1 54.0 79.8 54.9 56.1 68.7
pspnet101 99.1 62.5 79.8 53.4 58.1 70.5
bisenetv1_rgb 99.0 68.0 72.0 47.0 5.7 68.4
bisenetv1 98.8 73.0 64.8 52.0 57.1 69.1
bisenetv2_rgb 98.4 47.9 54.2 21.3 14.6 47.3
bisenetv2 98.4 47.5 59.8 22.6 16.0 48.9
caanet101_rgb 98.7 62.0 66.2 66.7 59.3 70.6
caanet101 98.0 71.7 47.8 71.4 68.9 71.6
mfnet 98.6 60.4 64.3 41.1 20.7 57.0
rtfnet152 99.3 74.1 79.7 58.8 61.1 74.6
pstnet 98.9 70.1 69.2 53.6 50.0 68.4
mffenet 99.3 79.8 76.6 66.8 63.0 77.1
egfnet 99.2 71.3 83.1 64.7 74.3 78.5
mtanet 99.3 65.0 87.5 62.1 79.1 78.6
rsfnet50_18_reparam 99.3 68.7 81.9 69.7 73.1 78.5
rsfnet161_121_reparam 99.3 72.0 80.4 74.5 70.8 79.4
rsfnet101_34_reparam 99.4 75.4 84.9 72.9 70.1 80.5
"""
"""Table V: the IoU of PST900's five classes, and mIoU."""


def table(text: str) -> dict[str, tuple[float | None, ...]]:
    """Read one of the tables: the figures of each network, ``None`` where there is none.

    Example:
        >>> table(FPS)["fuseseg"]
        (None, 16.88)
    """
    lines = (line.split() for line in text.strip().splitlines())
    return {name: tuple(None if x == "-" else float(x) for x in figures) for name, *figures in lines}
