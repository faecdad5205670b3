"""What ``pip install crossband`` gives works without any of the extras."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {
    "opencv-contrib-python-headless": "cv2",
    "faiss-cpu": "faiss",
    "faster-coco-eval": "faster_coco_eval",
    "scikit-learn": "sklearn",
    "umap-learn": "umap",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "mkdocs-material": "material",
    "python-multipart": "multipart",
}
"""What Python imports of the packages that are called otherwise."""

RUN = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from crossband.cli import app
import crossband.demo
app({arguments!r}, standalone_mode=False)
"""


def _optional() -> list[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [need for name, needs in extras.items() if name not in ("dev", "docs") for need in needs]
    names = {need.split(">")[0].split("[")[0].strip() for need in wanted} - {"crossband"}
    return sorted(MODULES.get(name, name.replace("-", "_")) for name in names)


def test_benchmark_index_and_search_need_none_of_the_extras(tmp_path, make_pairs):
    pairs = make_pairs(tmp_path / "pairs", 4)
    blocked = _optional()
    assert {"cv2", "lightning", "kornia", "ray"} <= set(blocked)
    image = next(iter(sorted((pairs / "rgb").iterdir())))
    for arguments in (
        ["benchmark", str(pairs), "--models", "hog", "--out", str(tmp_path / "out")],
        ["index", str(pairs), "--gallery", str(tmp_path / "gallery"), "--model", "hog"],
        ["search", str(image), "--gallery", str(tmp_path / "gallery")],
    ):
        code = RUN.format(blocked=blocked, arguments=arguments)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
