"""Images per second of ResNet-preact-20 in eager PyTorch: what `cargo xtask bench` compares with.

Prints one figure per epoch, the first one (warm-up) left out. The work of a step is that of
Swath's trainer: crop, flip and normalization, forward, loss, backward, SGD with Nesterov.
"""

import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride, preact):
        super().__init__()
        self.preact = preact
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=False) if c_in != c_out else nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(x), inplace=True)
        shortcut = self.shortcut(y if self.preact else x)
        y = self.conv1(y)
        y = self.conv2(F.relu(self.bn2(y), inplace=True))
        return y + shortcut


class ResNetPreact20(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        blocks = []
        c_in = 16
        for stage, c_out in enumerate([16, 32, 64]):
            for index in range(3):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Block(c_in, c_out, stride, index == 0))
                c_in = c_out
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn(self.blocks(self.stem(x))), inplace=True)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def augment(images):
    n, _, h, w = images.shape
    padded = F.pad(images, (4, 4, 4, 4))
    rows = torch.randint(0, 9, (n, 1)) + torch.arange(h)
    columns = torch.randint(0, 9, (n, 1)) + torch.arange(w)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    batch = torch.arange(n)
    cropped = padded.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], columns[:, None, :]]
    return (cropped.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--layout", choices=["default", "channels_last"], required=True)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = ResNetPreact20()
    images = torch.randint(0, 256, (args.images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(args.images) % 10
    if args.layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    for epoch in range(args.epochs):
        started = time.perf_counter()
        seen = 0
        for chunk in torch.randperm(args.images).split(args.batch):
            x = augment(images[chunk])
            if args.layout == "channels_last":
                x = x.contiguous(memory_format=torch.channels_last)
            else:
                x = x.contiguous()
            loss = F.cross_entropy(model(x), labels[chunk])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(chunk)
        if epoch > 0:
            print(seen / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
