"""Signs that a training goes wrong, in the figures that it writes down. Bounds are ours."""

from __future__ import annotations

from collections.abc import Mapping

# Of a collapse. In healthy runs on the embedded world the means over 25 steps stayed within [0.010, 0.32],
# [0.003, 0.012] and [0.35, 0.69], the first steps included.
_LEAST_SPREAD = 0.002
_LEAST_TRANSLATION = 1e-4
_LEAST_MASKED, _MOST_MASKED = 0.001, 0.98
# Of texture in the prediction. On the embedded world it stood at 0.15 to 0.31 in two runs where the eye saw it, at 0.06
# in a third, at 0.05 to 0.10 where the eye saw none: it does not tell all, so what C brings is looked at as well.
_MOST_TEXTURE = 0.2
# What C takes away, of the redacted frame's error. The true disparity took 2 to 17 % with band-stop, networks whose
# disparity showed the image 41 to 80 %, one whose disparity did not 36 %. Texture has to be there as well.
_MOST_BY_C, _SOME_TEXTURE = 0.4, 0.05
# With blocks a module fills most of a hole without C, so C takes little of that, leak or not: of the error without C
# the true disparity takes 13 %, a disparity that showed the image (gamma 1) 44 to 58 % with a texture of 0.11 to 0.13,
# others at most 21 %. Classes and normals rightly take up to 56 %, with a texture of 0.03 to 0.07; where they took 39 %
# it once stood at 0.102.
_MORE_TEXTURE = 0.1
# And the least: a module whose ReLUs had died took nothing at all from C, others 1 % of the redacted error or more.
_LEAST_BY_C = 1e-4


def alarms(values: Mapping[str, float]) -> dict[str, str | None]:
    """A line for each sign that is there, None for one that is not: by name, of the signs whose figures are given.

    values: those of depth.training.monitor.step_statistics, or a validation's scores.
    """
    return _of_steps(values) if "disparity/spread" in values else _of_branch(values)


def _of_steps(values: Mapping[str, float]) -> dict[str, str | None]:
    spread, translation, masked = (
        values[name] for name in ("disparity/spread", "pose/translation", "share/automasked")
    )
    flat = f"disparity is nearly the same everywhere (spread {spread:.2g})"
    still = f"the camera hardly moves (translation {translation:.2g})"
    # A share of exactly 0 is a run without auto-mask.
    left_out = 0 < masked < _LEAST_MASKED or masked > _MOST_MASKED
    return {
        "disparity": flat if spread < _LEAST_SPREAD else None,
        "pose": still if translation < _LEAST_TRANSLATION else None,
        "automask": f"the auto-mask leaves out {masked:.2%} of the pixels" if left_out else None,
    }


def _of_branch(values: Mapping[str, float]) -> dict[str, str | None]:
    if not values.get("dejavu/gamma_share"):  # no branch, or it does not reach the network (yet)
        return {}
    redacted, regenerated, without_c = (
        values[f"dejavu/{name}"] for name in ("redacted", "regenerated", "regenerated_without_c")
    )
    texture, growth = values["dejavu/texture"], values["dejavu/texture_growth"]
    by_c = (without_c - regenerated) / redacted if redacted else 0.0
    of_rest = (without_c - regenerated) / without_c if without_c else 0.0
    carried = (
        (texture > _MOST_TEXTURE and growth > 0)
        or (by_c > _MOST_BY_C and texture > _SOME_TEXTURE)
        or (of_rest > _MOST_BY_C and texture > _MORE_TEXTURE)
    )
    worse = (
        f"the regenerated frames are no better than the redacted ones (squared error {regenerated:.4f}, "
        f"{redacted:.4f}): the branch teaches nothing; a longer --dejavu_warmup or a higher --crm_learning_rate helps"
    )
    leak = (
        f"the prediction carries the image (its details' correlation {texture:.2f}; it takes away {of_rest:.0%} of "
        "the error without it): lower --dejavu_weight (docs/DEJAVU.md, How large gamma may be)"
    )
    unseen = (
        "the regenerated frames are the same without the prediction: the branch teaches nothing; if that stays so, the "
        "module is dead, and a new run with a lower --crm_learning_rate helps"
    )
    return {
        "regeneration": worse if 0 < redacted <= regenerated else None,
        "condition": unseen if redacted and abs(by_c) < _LEAST_BY_C else None,
        "texture": leak if carried else None,
    }
