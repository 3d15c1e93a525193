"""The original Monodepth2 networks, written anew from the layout of their files, to compare ours with."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

RESNETS = {18: models.resnet18, 50: models.resnet50}
WIDTHS = {18: (64, 64, 128, 256, 512), 50: (64, 256, 512, 1024, 2048)}


class Encoder(nn.Module):
    """`encoder.` + torchvision's names."""

    def __init__(self, num_layers: int, images: int) -> None:
        super().__init__()
        self.encoder = RESNETS[num_layers]()
        self.encoder.conv1 = nn.Conv2d(3 * images, 64, 7, 2, 3, bias=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        net, maps = self.encoder, []
        maps.append(net.relu(net.bn1(net.conv1((x - 0.45) / 0.225))))
        maps.append(net.layer1(net.maxpool(maps[0])))
        for layer in (net.layer2, net.layer3, net.layer4):
            maps.append(layer(maps[-1]))
        return maps


class Named(nn.Module):
    """Puts a module under the name `conv`."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv


class Decoder(nn.Module):
    """`decoder.0` .. `decoder.13`: the two convolutions of level 4, 3, 2, 1, 0, then the heads of scale 0..3."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        below = widths[4]
        for out, skip in ((256, widths[3]), (128, widths[2]), (64, widths[1]), (32, widths[0]), (16, 0)):
            modules += [Named(Named(nn.Conv2d(below, out, 3))), Named(Named(nn.Conv2d(out + skip, out, 3)))]
            below = out
        modules += [Named(nn.Conv2d(width, 1, 3)) for width in (16, 32, 64, 128)]
        self.decoder = nn.ModuleList(modules)

    def forward(self, maps: list[Tensor]) -> dict[int, Tensor]:
        pad, x, found = nn.ReflectionPad2d(1), maps[4], {}
        for step in range(5):
            x = nn.functional.elu(self.decoder[2 * step].conv.conv(pad(x)))
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            if step < 4:
                x = torch.cat([x, maps[3 - step]], 1)
            x = nn.functional.elu(self.decoder[2 * step + 1].conv.conv(pad(x)))
            if step >= 1:
                scale = 4 - step
                found[scale] = self.decoder[10 + scale].conv(pad(x)).sigmoid()
        return found


class Pose(nn.Module):
    """`net.0` .. `net.3`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        middle = [nn.Conv2d(256, 256, 3, 1, 1) for _ in range(2)]
        self.net = nn.ModuleList([nn.Conv2d(width, 256, 1), *middle, nn.Conv2d(256, 12, 1)])

    def forward(self, x: Tensor) -> Tensor:
        for conv in list(self.net)[:3]:
            x = conv(x).relu()
        return 0.01 * self.net[3](x).mean(3).mean(2)[:, :6]


def _shake(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Gives the norms running statistics and gains as training does, and keeps the activations moderate."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.3, 0.7, generator=generator)
            part.bias.data.uniform_(-0.2, 0.2, generator=generator)
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def write_original(folder: Path, num_layers: int, pose_num_layers: int) -> tuple[nn.Module, ...]:
    """Saves a folder as the original code does; classifier entries are in it, as in the published ones."""
    torch.manual_seed(num_layers)
    generator = torch.Generator().manual_seed(num_layers)
    encoder, decoder = Encoder(num_layers, 1), Decoder(WIDTHS[num_layers])
    pose_encoder, pose = Encoder(pose_num_layers, 2), Pose(WIDTHS[pose_num_layers][-1])
    parts = tuple(_shake(part, generator) for part in (encoder, decoder, pose_encoder, pose))
    folder.mkdir(exist_ok=True)
    scalars = {"height": 192, "width": 640, "use_stereo": num_layers == 50}
    torch.save({**encoder.state_dict(), **scalars}, folder / "encoder.pth")
    for name, part in (("depth", decoder), ("pose_encoder", pose_encoder), ("pose", pose)):
        torch.save(part.state_dict(), folder / f"{name}.pth")
    return parts
