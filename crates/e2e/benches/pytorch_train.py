"""Speed and memory of PyTorch on the benchmark's networks: what `cargo xtask bench train` compares with.

Prints one JSON object: the seconds of each timed step, images per second (median), peak resident
memory. The work of a step is that of Swath's trainer: crop, flip and normalization, forward, loss,
backward, SGD with Nesterov. `--how convolutions` times the model's convolutions alone, forward and
backward, channels last: the ceiling of what fusing everything else could give.
"""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from pytorch_augment import crop_and_flip
from pytorch_models import MODELS


def training_step(model, how):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    if how == "default":
        layout = torch.contiguous_format
    else:
        layout = torch.channels_last
        model.to(memory_format=layout)
    forward = torch.compile(model) if how == "compile" else model

    def step(images, labels):
        x = ((crop_and_flip(images).float() / 255 - 0.5) / 0.25).contiguous(memory_format=layout)
        loss = F.cross_entropy(forward(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def convolutions_step(model, batch):
    """Every convolution of the model, forward and backward, on data of its shapes."""
    shapes = []

    def note(module, inputs, output):
        shapes.append((module, inputs[0].shape, output.shape))

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        model(torch.zeros(2, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    layout = torch.channels_last
    work = []
    for index, (module, given, made) in enumerate(shapes):
        x = torch.randn(batch, *given[1:]).contiguous(memory_format=layout)
        g = torch.randn(batch, *made[1:]).contiguous(memory_format=layout)
        weight = module.weight.detach().contiguous(memory_format=layout)
        wants = [index > 0, True, False]
        work.append((x, g, weight, module, wants))

    def step(_images, _labels):
        with torch.no_grad():
            for x, _, weight, m, _ in work:
                torch.ops.aten.convolution(x, weight, None, m.stride, m.padding, m.dilation, False, [0, 0], m.groups)
            for x, g, weight, m, wants in reversed(work):
                torch.ops.aten.convolution_backward(
                    g, x, weight, None, m.stride, m.padding, m.dilation, False, [0, 0], m.groups, wants
                )

    return step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--how", choices=["default", "channels_last", "compile", "convolutions"], required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = MODELS[args.model]()
    if args.how == "convolutions":
        step = convolutions_step(model, args.batch)
    else:
        step = training_step(model, args.how)
    images = torch.randint(0, 256, (args.batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(args.batch) % 10
    seconds = []
    for index in range(args.warmup + args.steps):
        started = time.perf_counter()
        step(images, labels)
        if index >= args.warmup:
            seconds.append(time.perf_counter() - started)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "images_per_second": args.batch / statistics.median(seconds),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
