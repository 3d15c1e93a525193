"""What the options of evaluate_depth.py mean for a model: its scaling, and what its results' folder is called."""

from __future__ import annotations

from dataclasses import replace

from depth.evaluation.metrics import Scaling
from depth.options.evaluate import EvaluationOptions
from depth.trained import TrainedModel


def scaling_of(options: EvaluationOptions, model: TrainedModel | None) -> Scaling:
    """How a model's predictions, or a file's where `model` is None, get their unit.

    Flags come first; without them a model whose training gave it metres keeps them, any other is median-scaled.
    An original Monodepth2 model's unit is its baseline's; a file does not tell whose it is, so its factor is 1, and
    the options ask for one of the flags.
    """
    metric = options.eval_stereo or (model is not None and model.metres_from is not None and not options.eval_mono)
    factor = options.pred_depth_scale_factor
    if factor is None:
        factor = model.unit_factor if metric and model is not None else 1.0
    return Scaling(median=not (metric or options.disable_median_scaling), factor=factor)


def suffix_of(options: EvaluationOptions, model: TrainedModel | None) -> str:
    """The settings that are not the default, in a folder's name, so that no evaluation replaces another kind's."""
    scaling, usual = scaling_of(options, model), scaling_of(EvaluationOptions(), model)
    words = ["_best"] if options.checkpoint_choice == "best" else []
    words += ["_post_processed"] if options.post_process else []
    if scaling.median != usual.median:
        words.append("_median" if scaling.median else "_no_median")
    if scaling.factor != scaling_of(replace(options, pred_depth_scale_factor=None), model).factor:
        words.append(f"_times_{scaling.factor:g}")
    limits = {"from": options.min_depth, "to": options.max_depth}
    words += [f"_{name}_{limit:g}m" for name, limit in limits.items() if limit is not None]
    words += [f"_crop_{options.crop}"] if options.crop else []
    words += [f"_{options.protocol}"] if options.protocol else []
    return "".join(words) + ("_own_truth" if options.gt_path else "")
