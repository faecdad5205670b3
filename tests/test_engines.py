"""Work on a cluster comes to the same as work in one process, whatever dies meanwhile.

Two nodes of a real Ray on this machine, of which one is lost at last.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from crossband.datasets import open_frames
from crossband.engines import IN_PROCESS, RayEngine, open_engine
from crossband.errors import CrossbandError, MissingExtraError
from crossband.retrieval import Gallery, Options, benchmark, index
from crossband.segmentation import segment
from crossband.simulation import simulate
from crossband.uav.pictures import detect_pictures

from .workers import Dying, Squares

HOG = Options(size=(64, 64))
N = 80  # frames


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, with files of their own below a short path."""
    pytest.importorskip("ray", reason="Ray is not installed; the extra ray brings it")
    import ray
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="cb-ray-", dir="/tmp")
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    quick = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500}
    head = {**small, "include_dashboard": False, "_system_config": quick, "temp_dir": folder}
    # Cluster notes its address in Ray's usual folder, wherever the cluster's own is, and does not make it
    Path(get_ray_address_file(None)).parent.mkdir(exist_ok=True)
    made = Cluster(initialize_head=True, connect=False, head_node_args=head)
    made.add_node(**small)
    RayEngine(made.address)
    yield made
    ray.shutdown()
    made.shutdown()
    end = time.monotonic() + 5
    while Path(folder).exists() and time.monotonic() < end:  # its processes write until they have ended
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def frames(tmp_path_factory, make_pairs):
    root = make_pairs(tmp_path_factory.mktemp("pairs"), N)
    (root / "tir" / "0003.png").write_bytes(b"no image")
    return open_frames(root)


@pytest.mark.slow
def test_results_come_in_order_and_a_dead_worker_is_replaced(cluster, tmp_path):
    found = open_engine("ray", cluster.address).map(lambda: Dying(tmp_path, once=True), range(30), block=3)
    assert list(found) == [item**2 for item in range(30)]
    taken = [path.stem for path in tmp_path.glob("*.*")]
    assert taken.count("5") == 2  # done again
    assert len({path.suffix for path in tmp_path.glob("*.*")}) >= 2  # by several processes


@pytest.mark.slow
def test_what_kills_every_worker_is_told_and_an_error_is_the_workers_own(cluster, tmp_path):
    engine = open_engine("ray", cluster.address)
    with pytest.raises(CrossbandError, match=r"4 workers of the cluster died at block 2 of 2"):
        list(engine.map(lambda: Dying(tmp_path, once=False), range(6), block=3))

    def refuse():
        raise CrossbandError("no such network", parameter="model")

    with pytest.raises(CrossbandError, match=r"^no such network$") as caught:
        list(engine.map(refuse, [1]))
    assert caught.value.parameter == "model"


@pytest.mark.slow
def test_a_gallery_is_the_same_where_a_node_is_lost_in_the_middle(cluster, frames, tmp_path):
    lost = []

    class Losing(RayEngine):
        """Loses a node after the first block's results have come."""

        def map(self, make_worker, items, *, block=32, gpu=False):
            for n, result in enumerate(super().map(make_worker, items, block=8, gpu=gpu)):
                if n == 4 and not lost:
                    lost.append(cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False))
                yield result

    here = index(frames, tmp_path / "here", "hog", options=HOG)
    there = index(frames, tmp_path / "there", "hog", options=HOG, engine=Losing(cluster.address))
    assert lost
    assert (there.added, len(there.faults)) == (here.added, len(here.faults)) == (2 * N - 1, 1)
    one, two = (
        Gallery.open_rows(tmp_path / name).read(["key", "vector"]).sort_by("key") for name in ("here", "there")
    )
    assert one["key"].to_pylist() == two["key"].to_pylist()
    vectors = [np.stack(rows["vector"].to_numpy(zero_copy_only=False)) for rows in (one, two)]
    np.testing.assert_array_equal(*vectors)


class Sending:
    """Sends what it is given as a cluster does, and works here: no test waits for its processes to start."""

    cores = 1

    def map(self, make_worker, items, *, block=32, gpu=False):
        worker = _sent(make_worker)()
        for start in range(0, len(items), block):
            yield from _sent(list(worker(_sent(items[start : start + block]))))


def _sent(what):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(what))  # noqa: S301


def written(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(pattern)}


@pytest.mark.slow
def test_a_simulation_in_blocks_has_the_same_bytes(tmp_path):
    given = {"frames": 2, "size": (16, 16), "samples": 1, "workers": 1}
    simulate("retrieval", out=tmp_path / "here", **given)
    simulate("retrieval", out=tmp_path / "there", engine=Sending(), **given)
    assert written(tmp_path / "here", "*.png") == written(tmp_path / "there", "*.png") != {}


def test_a_benchmark_in_blocks_has_the_same_figures(frames, tmp_path):
    some = frames.select(np.arange(20))
    found = [
        benchmark(some, "hog", options=HOG, store=tmp_path / name, engine=engine)
        for name, engine in (("here", IN_PROCESS), ("there", Sending()))
    ]
    assert [run.recall for run in found[0].runs] == [run.recall for run in found[1].runs]
    assert [str(fault) for fault in found[0].faults] == [str(fault) for fault in found[1].faults] != []


@pytest.mark.slow
def test_pictures_segmented_and_objects_found_in_blocks_are_the_same(frames, tmp_path):
    some = frames.select(np.arange(4))
    some.write(tmp_path / "frames.parquet")
    for name, engine in (("here", IN_PROCESS), ("there", Sending())):
        segment(tmp_path / "frames.parquet", out=tmp_path / name, engine=engine)
        detect_pictures(some.root / "rgb", out=tmp_path / name, least=0.05, engine=engine)
    for pattern in ("*.png", "*.jpg", "detections.csv"):
        assert written(tmp_path / "here", pattern) == written(tmp_path / "there", pattern) != {}


def test_the_default_is_in_process_and_wrong_engines_are_refused(monkeypatch):
    assert open_engine() is IN_PROCESS
    assert list(IN_PROCESS.map(Squares, range(4))) == [0, 1, 4, 9]
    with pytest.raises(CrossbandError, match=r"unknown engine 'spark'.*local, ray"):
        open_engine("spark")
    with pytest.raises(CrossbandError, match="choose the engine ray"):
        open_engine("local", "127.0.0.1:6379")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'crossband\[ray\]'"):
        open_engine("ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_ray_cluster_that_is_not_there_is_one_sentence(address, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed; the extra ray brings it")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(CrossbandError, match=f"no Ray cluster at {address}"):
        open_engine("ray", address)
