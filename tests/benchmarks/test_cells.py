"""Whether a finished run is the one that is asked for."""

from dataclasses import replace

from benchmarks.cells.cell import plain_settings, settings_of, trained_with
from depth.options.config import Config
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.tasks import TaskOptions


def test_an_option_younger_than_a_record_counts_as_it_was_then():
    """--pitch_jitter came later: what was trained before turned no camera, whatever today's default is."""
    stereo = Config(data=DataOptions(dataset="synthetic", frame_ids=(0,), use_stereo=True))
    video = Config(data=DataOptions(dataset="synthetic"))
    for config, same in ((stereo, True), (video, False)):
        settings = settings_of(config)
        assert trained_with(settings, config)
        del settings["data"]["pitch_jitter"]
        assert trained_with(settings, config) == same
        assert not trained_with(settings | {"train": settings["train"] | {"no_such": 1}}, config)
    # Without the branch its edit decides nothing.
    settings = settings_of(stereo)
    settings["dejavu"]["edit"] = "bandstop"
    assert trained_with(settings, stereo)
    assert not trained_with(settings | {"dejavu": settings["dejavu"] | {"dejavu": True}}, stereo)
    # Nor where the attention, which reads the other options, is there alone.
    alone = replace(stereo, dejavu=DejaVuOptions(dejavu_attention=True))
    settings = plain_settings(alone)
    settings["dejavu"]["edit"] = "bandstop"
    assert trained_with(settings, alone)
    settings["dejavu"]["dejavu_weight"] = 0.5
    assert not trained_with(settings, alone)


def test_results_belong_to_their_data():
    """Sets of one kind are told apart by name, wherever they lie; the embedded world is one wherever it is rendered."""

    def config(dataset, path):
        return Config(TaskOptions(("semantics",)), DataOptions(dataset=dataset, data_path=path, height=64, width=96))

    for dataset in ("camvid", "frames"):
        settings = settings_of(config(dataset, "here/a.jsonl"))
        assert trained_with(settings, config(dataset, "there/a.jsonl"))
        assert not trained_with(settings, config(dataset, "here/b.jsonl"))
    assert trained_with(settings_of(config("camvid", ".")), config("camvid", "."))
    settings = settings_of(config("camvid", "here"))
    del settings["data"]["data_path"]  # as older records have none
    assert trained_with(settings, config("camvid", "there"))
    settings = settings_of(config("synthetic", "here/world"))
    assert trained_with(settings, config("synthetic", "there/other"))
