"""The published topology in PyTorch (torchvision's), to measure against."""

from torch import Tensor, nn

from mobilenet_v2.models.layers import make_divisible
from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES


def layer(inputs: int, outputs: int, kernel_size: int, stride: int, groups: int, clipped: bool) -> nn.Sequential:
    """Convolution, batch norm and, where `clipped`, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([nn.ReLU6(inplace=True)] if clipped else []))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project, and the shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion_factor: int):
        super().__init__()
        hidden = inputs * expansion_factor
        expand = [layer(inputs, hidden, 1, 1, 1, True)] if expansion_factor != 1 else []
        self.layers = nn.Sequential(
            *expand, layer(hidden, hidden, 3, stride, hidden, True), layer(hidden, outputs, 1, 1, 1, False)
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, outputs, H / stride, W / stride]."""
        return x + self.layers(x) if self.shortcut else self.layers(x)


class MobileNetV2(nn.Module):
    """The paper's Table 2 at any width, 1000 classes."""

    def __init__(self, width_multiplier: float):
        super().__init__()
        channels = make_divisible(32 * width_multiplier)
        layers: list[nn.Module] = [layer(3, channels, 3, 2, 1, True)]
        for expansion_factor, outputs, repeats, stride in PAPER_STAGES:
            scaled = make_divisible(outputs * width_multiplier)
            for repeat in range(repeats):
                layers.append(InvertedResidual(channels, scaled, 1 if repeat else stride, expansion_factor or 6))
                channels = scaled
        head = make_divisible(1280 * max(1.0, width_multiplier))
        self.features = nn.Sequential(*layers, layer(channels, head, 1, 1, 1, True))
        self.dropout, self.classifier = nn.Dropout(0.2), nn.Linear(head, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 1000] of [B, 3, H, W]."""
        return self.classifier(self.dropout(self.features(x).mean((2, 3))))
