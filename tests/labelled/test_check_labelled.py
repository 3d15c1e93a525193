"""datasets.check on labelled sets: what is there, what is missing, what is wrong."""

from datasets.check import main
from tests import labelled_layouts as mini


def test_incomplete_set(tmp_path, capsys):
    assert main([str(mini.write_camvid(tmp_path))]) == 2
    text = capsys.readouterr().out
    assert "camvid, labelled" in text and "train 3 of 367, val 2 of 101, test 1 of 233" in text
    assert "missing  train: 364 of 367 images; CamVid" in text
    assert text.rstrip().endswith("incomplete: --skip_missing trains on what is here")


def test_whole_set_is_ready(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("datasets.labelled.cityscapes.Cityscapes.wanted", {"train": 2, "val": 1})
    assert main([str(mini.write_cityscapes(tmp_path))]) == 0
    text = capsys.readouterr().out
    assert "19, of which 8 are things" in text and text.rstrip().endswith("verdict  ready")


def test_bad_label_is_a_problem(tmp_path, capsys):
    mini.save(mini.write_camvid(tmp_path) / "trainannot" / "0000.png", mini.halves(3, 77))
    assert main([str(tmp_path)]) == 2
    text = capsys.readouterr().out
    assert "problem  " in text and "holds the id 77" in text and text.rstrip().endswith("not ready")
