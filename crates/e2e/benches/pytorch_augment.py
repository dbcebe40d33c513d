"""The augmentation of the benchmarks: a crop of the image padded by 4, and a flip, per image."""

import torch
import torch.nn.functional as F


def crop_and_flip(images):
    """Of u8 images N×C×H×W, as they are before normalization."""
    n, _, h, w = images.shape
    padded = F.pad(images, (4, 4, 4, 4))
    rows = torch.randint(0, 9, (n, 1)) + torch.arange(h)
    columns = torch.randint(0, 9, (n, 1)) + torch.arange(w)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    batch = torch.arange(n)
    cropped = padded.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)
