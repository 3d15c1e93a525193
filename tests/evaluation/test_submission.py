"""A submission to KITTI's benchmark: its files, sizes and values, its own checks, and what refuses it."""

import zipfile

import cv2
import numpy as np
import pytest
import torch

from datasets.kitti.benchmark import benchmark_images
from depth.evaluation.submission import check_submission, write_submission
from depth.options.evaluate import EvaluationOptions
from depth.types import UserError
from evaluate_depth import evaluate
from tests.tiny_run import save_run


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "kitti/depth_selection/test_depth_prediction_anonymous/image"
    folder.mkdir(parents=True)
    for number, width in enumerate((60, 64)):
        picture = np.random.default_rng(number).integers(0, 255, (20, width, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:010d}.png"), picture)
    return tmp_path / "kitti"


def read(path):
    with zipfile.ZipFile(path) as archive:
        return {
            name: cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            for name in archive.namelist()
        }


def test_values_are_metres_times_256_at_the_images_size(tmp_path):
    paths = [tmp_path / "0000000007.png"]

    def load(path):
        return torch.zeros(3, 4, 6, dtype=torch.uint8), (12, 8)

    def predictor(samples, first):
        return np.full((1, 4, 6), 0.25, np.float32)

    write_submission(tmp_path / "s.zip", paths, load, predictor, 2.0, lambda each: each)
    depth = read(tmp_path / "s.zip")["0000000007.png"]
    assert depth.shape == (8, 12) and depth.dtype == np.uint16 and set(depth.ravel()) == {4 * 2 * 256}


def test_a_model_in_metres_is_submitted(images, tmp_path):
    run = save_run(tmp_path / "run", use_stereo=True)
    options = EvaluationOptions(
        eval_split="benchmark", data_path=str(images), load_weights_folder=str(run), device="cpu", skip_missing=True
    )
    assert evaluate(options) is None
    found = read(run / "submission" / "submission.zip")
    assert [each.shape for each in found.values()] == [(20, 60), (20, 64)]
    assert all(each.all() for each in found.values())


def test_what_refuses_a_submission(images, tmp_path):
    run = save_run(tmp_path / "run")
    options = {"eval_split": "benchmark", "data_path": str(images), "load_weights_folder": str(run), "device": "cpu"}
    with pytest.raises(UserError, match="takes metres, and this model's depths are up to scale"):
        evaluate(EvaluationOptions(**options))
    with pytest.raises(UserError, match="has 2 images, the benchmark 500"):
        evaluate(EvaluationOptions(**options, disable_median_scaling=True, pred_depth_scale_factor=5.0))
    with pytest.raises(UserError, match="unpack data_depth_selection.zip"):
        benchmark_images(tmp_path)
    with pytest.raises(UserError, match="--ext_disp_to_eval has no place beside --eval_split benchmark"):
        EvaluationOptions(**options, ext_disp_to_eval="disps.npy", eval_stereo=True)


def test_the_benchmark_is_looked_for_where_kitti_is(images, tmp_path, monkeypatch):
    run = save_run(tmp_path / "run", use_stereo=True)
    monkeypatch.setenv("KITTI_DATA", str(images))
    options = {"eval_split": "benchmark", "load_weights_folder": str(run), "device": "cpu", "skip_missing": True}
    assert evaluate(EvaluationOptions(**options)) is None and (run / "submission" / "submission.zip").is_file()


@pytest.mark.parametrize(
    "name, values, said",
    [
        ("b.png", np.ones((4, 6), np.uint16), "its files are not those"),
        ("a.png", np.ones((4, 6), np.uint8), "not a 16-bit grey PNG of 6x4"),
        ("a.png", np.ones((4, 5), np.uint16), "not a 16-bit grey PNG of 6x4"),
        ("a.png", np.eye(4, 6).astype(np.uint16), "has pixels without depth"),
    ],
)
def test_its_own_checks(tmp_path, name, values, said):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(name, cv2.imencode(".png", values)[1].tobytes())
    with pytest.raises(UserError, match=said):
        check_submission(tmp_path / "s.zip", {"a.png": (6, 4)})
