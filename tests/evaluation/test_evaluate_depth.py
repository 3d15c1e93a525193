import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from datasets.core.splits import load_split
from datasets.world.making import WorldSpec, ensure_world
from depth.evaluation.metrics import Scaling
from depth.evaluation.report import protocol_line
from depth.evaluation.scaling import scaling_of, suffix_of
from depth.options.evaluate import EvaluationOptions
from depth.support.cli import parse
from depth.types import UserError
from evaluate_depth import evaluate
from tests.kitti_layout import DRIVE, write_raw, write_scan
from tests.tiny_run import add_best, save_run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(height=48, width=160, train_drives=2, val_drives=1, test_drives=1, frames_per_drive=3)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "run")


def _options(world, **changes):
    return EvaluationOptions(
        **({"data_path": str(world), "num_workers": 0, "device": "cpu", "batch_size": 2} | changes)
    )


def test_evaluates_the_newest_run_and_its_stored_disparities(world, run_folder, capsys):
    report = evaluate(_options(world, log_dir=str(run_folder.parent), save_pred_disps=True))
    printed = capsys.readouterr().out.splitlines()
    assert "SYNTHETIC" in printed[0] and any(str(run_folder) in line for line in printed[:3])
    assert any("constant prior" in line for line in printed)
    folder = run_folder / "evaluation_synthetic"
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "metrics.md", "per_image.csv", "frames.png"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["dataset"] == "synthetic" and metrics["images"] == metrics["images_in_split"] == 3
    assert metrics["protocol"]["name"] == "synthetic" and metrics["scaling"]["median"] is True
    assert metrics["trained"]["config"]["data"]["height"] == 64
    assert 0 < metrics["baselines"]["constant prior"]["abs_rel"] < metrics["metrics"]["abs_rel"]

    disparities = run_folder / "disps_synthetic_split.npy"
    assert np.load(disparities).shape == (3, 64, 96)
    stored = {"ext_disp_to_eval": str(disparities), "eval_mono": True, "eval_out_dir": str(run_folder / "again")}
    assert evaluate(_options(world, **stored)).result.rows == report.result.rows


def test_the_last_checkpoint_is_evaluated_and_the_best_where_asked(world, tmp_path, capsys):
    run = save_run(tmp_path / "run")
    add_best(run)
    options = {"load_weights_folder": str(run), "save_pred_disps": True}
    last, best = (evaluate(_options(world, checkpoint_choice=choice, **options)) for choice in ("last", "best"))
    assert last.result.means["abs_rel"] != best.result.means["abs_rel"]
    assert str(run / "checkpoints" / "last.pt") == last.model and str(run / "checkpoints" / "best.pt") == best.model
    printed = capsys.readouterr().out
    for folder, words, facts in (
        ("evaluation_synthetic", "last.pt, last checkpoint after 2 epochs, 34 steps", ("last", 34, None)),
        (
            "evaluation_synthetic_best",
            "best.pt, best checkpoint after 1 epochs, 17 steps, chosen by lowest toy score",
            ("best", 17, "lowest toy score"),
        ),
    ):
        assert printed.count(words) == 2 and words in (run / folder / "metrics.md").read_text()  # before and after
        given = json.loads((run / folder / "metrics.json").read_text())["checkpoint"]
        assert (given["which"], given["steps"], given["chosen_by"]) == facts
    with pytest.raises(UserError, match="--checkpoint_choice and --ext_disp_to_eval exclude each other"):
        _options(world, checkpoint_choice="best", ext_disp_to_eval="x.npy", eval_mono=True)


def test_stored_disparities_of_a_stereo_model_give_its_result(world, tmp_path):
    run = save_run(tmp_path / "run", use_stereo=True)
    report = evaluate(_options(world, load_weights_folder=str(run), save_pred_disps=True))
    stored = {"ext_disp_to_eval": str(run / "disps_synthetic_split.npy"), "eval_stereo": True}
    again = evaluate(_options(world, **stored))
    assert (run / "evaluation_synthetic_disps_synthetic_split_no_median" / "metrics.json").is_file()
    assert again.result.rows == report.result.rows and not again.result.scaling.median


def test_post_processing_changes_the_prediction(world, run_folder, tmp_path):
    run = shutil.copytree(run_folder / "checkpoints", tmp_path / "run")
    options = {"load_weights_folder": str(run), "save_pred_disps": True}
    plain, flipped = (evaluate(_options(world, post_process=flag, **options)) for flag in (False, True))
    assert plain.result.means["abs_rel"] != flipped.result.means["abs_rel"]
    assert "post-processed" in protocol_line(flipped) and "post-processed" not in protocol_line(plain)
    names = {"evaluation_synthetic", "disps_synthetic_split.npy"}
    names |= {"evaluation_synthetic_post_processed", "disps_synthetic_split_post_processed.npy"}
    assert {path.name for path in run.iterdir()} == {"last.pt", *names}


def test_images_that_are_missing_are_counted(world, run_folder, tmp_path):
    copy = shutil.copytree(world, tmp_path / "world")
    sorted(copy.glob("*/*/image_02/data/*"))[-1].unlink()
    out = tmp_path / "out"
    report = evaluate(_options(copy, load_weights_folder=str(run_folder), eval_out_dir=str(out), skip_missing=True))
    assert "2 of 3 images" in protocol_line(report)
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["images"], metrics["images_in_split"]) == (2, 3)


def test_a_split_given_as_its_test_file_keeps_its_protocol(run_folder, tmp_path):
    """Of a frame with a scan alone there is ground truth for a split of one's own, and none for eigen_benchmark."""
    data = write_raw(tmp_path / "data", range(1))
    write_scan(data, 0, [(10, 0, -1), (12, 1, -1)])
    options = {"load_weights_folder": str(run_folder), "eval_out_dir": str(tmp_path / "out")}
    for name in ("mine", "eigen_benchmark"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.txt").write_text(f"{DRIVE} l 0\n")
    options |= {"cache_dir": str(tmp_path / "cache")}
    report = evaluate(_options(data, eval_split=str(tmp_path / "mine" / "test.txt"), **options))
    assert report.split == "mine" and report.result.protocol.name == "eigen"
    with pytest.raises(UserError, match="none of them has ground truth"):
        evaluate(_options(data, eval_split=str(tmp_path / "eigen_benchmark" / "test.txt"), **options))


def test_an_unknown_split_is_an_error_on_the_embedded_world_too(world, run_folder):
    with pytest.raises(UserError, match=r"unknown split 'nonsense'.* eigen,.* synthetic"):
        evaluate(_options(world, load_weights_folder=str(run_folder), eval_split="nonsense"))


def test_a_split_of_ones_own_is_read_on_the_embedded_world_too(world, run_folder, tmp_path):
    """Its frames are evaluated, and the constant map is still fitted on the world's training drives."""
    (tmp_path / "mine.txt").write_text("".join((world / "splits" / "train.txt").read_text().splitlines(True)[:1]))
    frames = len(load_split(tmp_path / "mine.txt", "test"))
    options = {"load_weights_folder": str(run_folder), "eval_out_dir": str(tmp_path / "out")}
    report = evaluate(_options(world, eval_split=str(tmp_path / "mine.txt"), **options))
    assert report.split == "mine" and len(report.result.rows) == report.images_in_split == frames > 1
    assert report.result.rows[0].name.split()[0] not in (world / "splits" / "test.txt").read_text()
    assert evaluate(_options(world, **options)).split == "synthetic"


def test_prediction_alone(world, run_folder, tmp_path):
    options = {"load_weights_folder": str(run_folder), "eval_out_dir": str(tmp_path), "no_eval": True}
    assert evaluate(_options(world, save_pred_disps=True, **options)) is None
    assert [path.name for path in tmp_path.iterdir()] == ["disps_synthetic_split.npy"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--no_eval", "--no_eval without --save_pred_disps leaves nothing to look at"),
        (
            "--no_eval --save_pred_disps --ext_disp_to_eval x.npy",
            "--no_eval and --ext_disp_to_eval exclude each other",
        ),
        ("--post_process --ext_disp_to_eval x.npy", "--post_process and --ext_disp_to_eval exclude each other"),
        (
            "--load_weights_folder runs/a --ext_disp_to_eval x.npy",
            "--load_weights_folder and --ext_disp_to_eval exclude each other",
        ),
        (
            "--ext_disp_to_eval x.npy",
            "--ext_disp_to_eval: the file does not tell its unit; add --eval_mono (median scaling) or --eval_stereo "
            "(metres, as of models trained with stereo; an original one's with --pred_depth_scale_factor 5.4)",
        ),
    ],
)
def test_options_that_would_be_ignored_are_refused(line, message):
    with pytest.raises(UserError) as caught:
        parse(EvaluationOptions, "", line.split())
    assert str(caught.value) == message


def test_disparities_of_another_split(world, tmp_path):
    np.save(tmp_path / "disps.npy", np.ones((697, 4, 5), np.float32))
    with pytest.raises(UserError, match="697 predictions, the split has 3"):
        evaluate(_options(world, ext_disp_to_eval=str(tmp_path / "disps.npy"), eval_mono=True))


MONO = SimpleNamespace(metres_from=None, unit_factor=1.0)
STEREO = SimpleNamespace(metres_from="stereo", unit_factor=1.0)
ORIGINAL_STEREO = SimpleNamespace(metres_from="stereo", unit_factor=5.4)


@pytest.mark.parametrize("flag", ["eval_mono", "eval_stereo", "disable_median_scaling"])
def test_any_word_on_the_unit_of_a_file_will_do(flag):
    EvaluationOptions(ext_disp_to_eval="x.npy", **{flag: True})


@pytest.mark.parametrize(
    ("model", "flags", "expected"),
    [
        (MONO, {}, Scaling(True, 1)),
        (STEREO, {}, Scaling(False, 1)),
        (ORIGINAL_STEREO, {}, Scaling(False, 5.4)),
        (None, {}, Scaling(True, 1)),
        (STEREO, {"eval_mono": True}, Scaling(True, 1)),
        (ORIGINAL_STEREO, {"eval_stereo": True}, Scaling(False, 5.4)),
        (None, {"eval_stereo": True}, Scaling(False, 1)),
        (MONO, {"disable_median_scaling": True, "pred_depth_scale_factor": 30.0}, Scaling(False, 30)),
        (ORIGINAL_STEREO, {"eval_stereo": True, "pred_depth_scale_factor": 5.0}, Scaling(False, 5)),
    ],
)
def test_scaling_flags(model, flags, expected):
    assert scaling_of(EvaluationOptions(**flags), model) == expected


@pytest.mark.parametrize(
    ("model", "flags", "suffix"),
    [
        (MONO, {}, ""),
        (MONO, {"eval_mono": True}, ""),
        (MONO, {"post_process": True}, "_post_processed"),
        (MONO, {"disable_median_scaling": True, "pred_depth_scale_factor": 30.0}, "_no_median_times_30"),
        (STEREO, {}, ""),
        (STEREO, {"eval_mono": True, "post_process": True}, "_post_processed_median"),
        (ORIGINAL_STEREO, {"eval_stereo": True}, ""),
        (ORIGINAL_STEREO, {"eval_mono": True}, "_median"),
        (ORIGINAL_STEREO, {"pred_depth_scale_factor": 5.4}, ""),
        (None, {"eval_mono": True}, ""),
        (None, {"eval_stereo": True, "pred_depth_scale_factor": 5.4}, "_no_median_times_5.4"),
    ],
)
def test_other_settings_have_a_folder_of_their_own(model, flags, suffix):
    assert suffix_of(EvaluationOptions(**flags), model) == suffix
