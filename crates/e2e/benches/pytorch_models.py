"""The networks of the benchmark in PyTorch, as a PyTorch user writes them.

Tensor names and shapes are those of Swath's trainer, so weights move both ways. Sources: He et al.
2016 (pre-activation ResNet), Zagoruyko & Komodakis 2016 (wide ResNet), Huang et al. 2017 (DenseNet),
Gastaldi 2017 (shake-shake).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv(c_in, c_out, kernel, stride=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


class PreactBlock(nn.Module):
    """BN-ReLU-conv twice; a 1x1 convolution beside it where the width changes."""

    def __init__(self, c_in, c_out, stride, preact):
        super().__init__()
        self.preact = preact
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv(c_in, c_out, 3, stride)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = conv(c_out, c_out, 3)
        self.shortcut = nn.Sequential()
        if c_in != c_out:
            self.shortcut.add_module("conv", conv(c_in, c_out, 1, stride))

    def forward(self, x):
        y = F.relu(self.bn1(x), inplace=True)
        shortcut = self.shortcut(y if self.preact else x)
        y = self.conv1(y)
        y = self.conv2(F.relu(self.bn2(y), inplace=True))
        return y + shortcut


def stage(blocks):
    return nn.Sequential(*blocks)


class ResNetPreact(nn.Module):
    def __init__(self, depth, channels=16, width=1, image=3, classes=10, per_block=6, extra=2):
        super().__init__()
        count = (depth - extra) // per_block
        widths = [channels * width, 2 * channels * width, 4 * channels * width]
        self.conv = conv(image, channels, 3)
        c_in = channels
        for index, c_out in enumerate(widths):
            blocks = nn.Sequential()
            for block in range(count):
                stride = 2 if index > 0 and block == 0 else 1
                # In a wide ResNet the shortcut is activated wherever the width changes.
                preact = block == 0 if extra == 2 else c_in != c_out
                blocks.add_module(f"block{block + 1}", PreactBlock(c_in, c_out, stride, preact))
                c_in = c_out
            self.add_module(f"stage{index + 1}", blocks)
        self.bn = nn.BatchNorm2d(c_in)
        self.fc = nn.Linear(c_in, classes)

    def forward(self, x):
        x = self.stage3(self.stage2(self.stage1(self.conv(x))))
        x = F.relu(self.bn(x), inplace=True)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, c_in, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv(c_in, 4 * growth, 1)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = conv(4 * growth, growth, 3)

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x), inplace=True))
        y = self.conv2(F.relu(self.bn2(y), inplace=True))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.bn = nn.BatchNorm2d(c_in)
        self.conv = conv(c_in, c_out, 1)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.bn(x), inplace=True)), 2)


class DenseNetBC(nn.Module):
    def __init__(self, depth, growth, image=3, classes=10):
        super().__init__()
        count = (depth - 4) // 6
        channels = 2 * growth
        self.conv = conv(image, channels, 3)
        for index in range(3):
            block = nn.Sequential()
            for layer in range(count):
                block.add_module(f"block{layer + 1}", DenseLayer(channels, growth))
                channels += growth
            if index < 2:
                block.add_module("transition", Transition(channels, channels // 2))
                channels //= 2
            self.add_module(f"stage{index + 1}", block)
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.stage3(self.stage2(self.stage1(self.conv(x))))
        x = F.relu(self.bn(x), inplace=True)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Shake(torch.autograd.Function):
    """a and b mixed by one random number per image, their gradients by another one."""

    @staticmethod
    def forward(ctx, a, b, alpha, beta):
        ctx.save_for_backward(beta)
        return alpha * a + (1 - alpha) * b

    @staticmethod
    def backward(ctx, gradient):
        (beta,) = ctx.saved_tensors
        return beta * gradient, (1 - beta) * gradient, None, None


class ShakeBranch(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1 = conv(c_in, c_out, 3, stride)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = conv(c_out, c_out, 3)
        self.bn2 = nn.BatchNorm2d(c_out)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(F.relu(x))), inplace=True)
        return self.bn2(self.conv2(y))


class SkipConnection(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.stride = stride
        self.conv1 = conv(c_in, c_out // 2, 1)
        self.conv2 = conv(c_in, c_out // 2, 1)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        x = F.relu(x)
        s = self.stride
        y1 = self.conv1(x[:, :, ::s, ::s])
        # The second path looks one pixel further, zeros beyond the border.
        shifted = F.pad(x, (-1, 1, -1, 1)) if s > 1 else x
        y2 = self.conv2(shifted[:, :, ::s, ::s])
        return self.bn(torch.cat([y1, y2], 1))


class ShakeBlock(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.residual_path1 = ShakeBranch(c_in, c_out, stride)
        self.residual_path2 = ShakeBranch(c_in, c_out, stride)
        self.shortcut = SkipConnection(c_in, c_out, stride) if c_in != c_out else nn.Identity()

    def forward(self, x):
        a, b = self.residual_path1(x), self.residual_path2(x)
        count = len(x)
        alpha, beta = torch.rand(2, count, 1, 1, 1)
        return self.shortcut(x) + Shake.apply(a, b, alpha, beta)


class ShakeShake(nn.Module):
    def __init__(self, depth, channels, image=3, classes=10):
        super().__init__()
        count = (depth - 2) // 6
        self.conv = conv(image, 16, 3)
        self.bn = nn.BatchNorm2d(16)
        c_in = 16
        for index in range(3):
            c_out = channels << index
            blocks = nn.Sequential()
            for block in range(count):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.add_module(f"block{block + 1}", ShakeBlock(c_in, c_out, stride))
                c_in = c_out
            self.add_module(f"stage{index + 1}", blocks)
        self.fc = nn.Linear(c_in, classes)

    def forward(self, x):
        x = self.bn(self.conv(x))
        x = F.relu(self.stage3(self.stage2(self.stage1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


MODELS = {
    "preact20": lambda: ResNetPreact(20),
    "wrn16_4": lambda: ResNetPreact(16, width=4, extra=4),
    "densenet_bc40_12": lambda: DenseNetBC(40, 12),
    "shake14_32": lambda: ShakeShake(14, 32),
}
