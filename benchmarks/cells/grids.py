"""The ablation's grids: named cells, each a few changed options over the common settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from depth.networks.encoder_weights import PRETRAINED, SCRATCH, package_of
from depth.options.config import Config

# group of options -> option -> value
Changes = Mapping[str, Mapping[str, Any]]

BASELINE = "baseline"
EDITS = ("pixels", "checkerboard", "blocks", "lowpass", "bandstop", "highpass")


@dataclass(frozen=True)
class Cell:
    """One model of a grid."""

    label: str  # in tables, unique in its grid
    changes: Changes
    against: str | None = BASELINE  # label of the cell that it is compared with; None for a baseline

    @property
    def name(self) -> str:
        """Of its folder: the same changes have the same name in every grid, so that a run is shared."""
        parts = [f"{option}-{value}" for options in self.changes.values() for option, value in sorted(options.items())]
        return "_".join(parts).replace("/", "-") or "plain"

    def config(self, common: Config) -> Config:
        """The common settings with this cell's changes."""
        return replace(
            common, **{group: replace(getattr(common, group), **values) for group, values in self.changes.items()}
        )


def _dejavu(**options: Any) -> Changes:
    """The branch with its default edit, blocks, which has one name in all grids."""
    return {"dejavu": {"dejavu": True, "edit": "blocks", **options}}


def _plain() -> Cell:
    return Cell(BASELINE, {}, None)


def _crm() -> tuple[Cell, ...]:
    cells = [
        Cell(f"{edit}, {crm}", _dejavu(edit=edit, crm=crm))
        for edit in ("pixels", "blocks", "checkerboard", "lowpass", "bandstop")
        for crm in ("forward", "recursive")
    ]
    return (_plain(), *cells, Cell("bandstop, residual", _dejavu(edit="bandstop", crm="residual")))


def _extensions() -> tuple[Cell, ...]:
    return (
        _plain(),
        Cell("DejaVu", _dejavu()),
        Cell("CL", _dejavu(dejavu_cyclic=0.1)),
        Cell("TS", _dejavu(dejavu_text=0.1)),
        Cell("SA", _dejavu(dejavu_attention=True)),
        Cell("SA alone", {"dejavu": {"dejavu_attention": True}}),
        # The attention without its reconstruction: what its parameters do by themselves.
        Cell("SA, no reconstruction", {"dejavu": {"dejavu_attention": True, "dejavu_weight": 0.0}}),
        Cell("CL + SA", _dejavu(dejavu_cyclic=0.1, dejavu_attention=True)),
    )


def _base() -> tuple[Cell, ...]:
    networks = {"R18": {}, "R50": {"num_layers": 50}, "PackNet slim": {"depth_net": "packnet_slim"}}
    cells = []
    for name, options in networks.items():
        network = {"network": options} if options else {}
        cells += [Cell(name, network, None), Cell(f"{name} + DejaVu", {**network, **_dejavu()}, name)]
    return tuple(cells)


# One of each family that peers build on, of about a ResNet-18's cost where there is such a size.
ENCODERS = (
    "resnet18", "resnet50", "timm/tf_efficientnet_lite0", "timm/mobilenetv3_large_100", "timm/regnety_004",
    "timm/hrnet_w18_small", "timm/convnext_tiny", "timm/swin_tiny_patch4_window7_224",
)  # fmt: skip


def _encoders() -> tuple[Cell, ...]:
    """Each encoder from scratch, and pretrained where pip brings the weights; the pose network is the same in all."""

    def cell(label: str, encoder: str, weights: str) -> Cell:
        network = {"encoder": encoder, "encoder_weights": weights, "pose_encoder_weights": SCRATCH}
        return Cell(label, {"network": network}, None if label == ENCODERS[0] else ENCODERS[0])

    scratch = (cell(name.removeprefix("timm/"), name, SCRATCH) for name in ENCODERS)
    pretrained = (
        cell(f"{name.removeprefix('timm/')}, pretrained", name, PRETRAINED) for name in ENCODERS if package_of(name)
    )
    return (*scratch, *pretrained)


GRIDS: Mapping[str, tuple[Cell, ...]] = {
    "edits": (_plain(), *(Cell(edit, _dejavu(edit=edit)) for edit in EDITS)),
    "bands": (
        _plain(),
        Cell("low", _dejavu(edit="low")),
        Cell("middle", _dejavu(edit="bandstop")),
        Cell("high", _dejavu(edit="high")),
    ),
    "crm": _crm(),
    "weights": (
        _plain(),
        *(Cell(f"gamma {weight:g}", _dejavu(dejavu_weight=weight)) for weight in (0.1, 1.0, 3.0, 10.0, 30.0)),
        *(Cell(f"gamma 1, beta {weight:g}", _dejavu(dejavu_weight=1.0, dejavu_lpips=weight)) for weight in (0.0, 1.0)),
    ),
    "extensions": _extensions(),
    # Louder, the other edit and the paper's form; and what the branch does without its say.
    "controls": (
        _plain(),
        Cell("DejaVu", _dejavu()),
        Cell("ten times gamma", _dejavu(dejavu_weight=0.1)),
        Cell("gamma 1", _dejavu(dejavu_weight=1.0)),  # what a cross-entropy can hear
        Cell("no C", _dejavu(dejavu_condition="none")),
        Cell("detached C", _dejavu(dejavu_condition="detached")),
        Cell("no redaction", _dejavu(edit="none", crm="forward")),  # additive would have nothing to add
        Cell("bandstop", _dejavu(edit="bandstop")),
        Cell("bandstop, ten times gamma", _dejavu(edit="bandstop", dejavu_weight=0.1)),
        # The paper's module, and the weights with which it was measured here before.
        Cell("published form", _dejavu(edit="bandstop", crm="auto", dejavu_weight=0.1, dejavu_lpips=0.1)),
    ),
    "base": _base(),
    "encoders": _encoders(),
}
