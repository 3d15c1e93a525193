"""How often scalars and pictures are written; 0 is never."""

import pytest

from tests.training.toy_trainer import Validation, toy_trainer


def written(folder, monkeypatch, **settings):
    """Steps with a training's scalars, and steps with pictures, of three epochs of five steps."""
    trainer = toy_trainer(folder, validation=Validation([1.0, 1.0, 1.0]), **settings)
    scalars, pictures = [], []
    monkeypatch.setattr(
        trainer.monitor, "scalars", lambda values, step: scalars.append(step) if "loss/total" in values else None
    )
    monkeypatch.setattr(trainer.monitor, "pictures", lambda images, step: pictures.append(step))
    trainer.fit()
    return scalars, pictures


@pytest.mark.parametrize(
    ("log", "image", "scalars", "pictures"),
    [
        (4, None, [4, 8, 12], [5, 10, 15]),
        (0, 0, [], []),
        (15, 4, [15], [4, 5, 8, 10, 12, 15]),  # and with each validation
    ],
)
def test_scalars_and_pictures_come_as_often_as_asked(tmp_path, monkeypatch, log, image, scalars, pictures):
    found = written(tmp_path, monkeypatch, log_frequency=log, image_frequency=image)
    assert found == (scalars, pictures)
