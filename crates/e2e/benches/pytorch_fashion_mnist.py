"""Trains ResNet-preact-8 with 8 channels on Fashion-MNIST in PyTorch: what `cargo xtask bench fashion`
compares Swath's trainer with.

The recipe is that of the spec in `src/bin/bench/fashion.rs`: pad-4 crop and flip before
normalization, batch 128, SGD with Nesterov, a cosine per iteration to 0, He initialization over
outgoing connections, the last epoch's error on all test images. Prints one JSON object.
"""

import argparse
import gzip
import json
import math
import pathlib
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from pytorch_augment import crop_and_flip
from pytorch_models import ResNetPreact

MEAN, STD = 0.2860, 0.3530


def idx(path, header):
    data = gzip.decompress(path.read_bytes())
    return torch.frombuffer(bytearray(data[header:]), dtype=torch.uint8)


def split(directory, name):
    images = idx(directory / f"{name}-images-idx3-ubyte.gz", 16).view(-1, 1, 28, 28)
    return images, idx(directory / f"{name}-labels-idx1-ubyte.gz", 8).long()


def normalized(images):
    x = (images.float() / 255 - MEAN) / STD
    return x.contiguous(memory_format=torch.channels_last)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    images, labels = split(args.data, "train")
    test_images, test_labels = split(args.data, "t10k")
    model = ResNetPreact(8, channels=8, image=1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
    steps = len(images) // args.batch
    total = steps * args.epochs
    started = time.perf_counter()
    step = 0
    for _ in range(args.epochs):
        model.train()
        for chunk in torch.randperm(len(images))[: steps * args.batch].split(args.batch):
            for group in optimizer.param_groups:
                group["lr"] = args.lr * 0.5 * (1 + math.cos(math.pi * step / total))
            loss = F.cross_entropy(model(normalized(crop_and_flip(images[chunk]))), labels[chunk])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        model.eval()
        with torch.no_grad():
            parts = [model(normalized(part)).argmax(1) for part in test_images.split(500)]
        error = 100 * (torch.cat(parts) != test_labels).float().mean().item()
    print(json.dumps({"test_error": error, "train_seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
