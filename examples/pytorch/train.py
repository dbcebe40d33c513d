"""A PyTorch loop: a small network learns to tell two spirals apart.

By hand:   python3 train.py --lr 0.1 --optimizer sgd
As jobs:   coordinator run sweep.toml
"""
import math
import sys

import swath
import torch
from torch import nn

p = swath.params(sys.argv[1:], lr=0.01, optimizer="adam", width=32, epochs=20)
torch.manual_seed(swath.seed())
device = "cuda" if torch.cuda.is_available() else "cpu"


def spirals(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    label = torch.arange(count) % 2
    angle = torch.rand(count) * 2 * math.pi
    turned = angle + math.pi * label
    points = torch.stack([turned.cos(), turned.sin()], 1) * angle[:, None] / (2 * math.pi)
    return (points + 0.02 * torch.randn(count, 2)).to(device), label.to(device)


train_x, train_y = spirals(1000)
test_x, test_y = spirals(1000)
model = nn.Sequential(
    nn.Linear(2, p.width), nn.Tanh(), nn.Linear(p.width, p.width), nn.Tanh(), nn.Linear(p.width, 2)
).to(device)
optimizers = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
optimizer = optimizers[p.optimizer](model.parameters(), lr=p.lr)
loss_function = nn.CrossEntropyLoss()

for epoch in range(1, p.epochs + 1):
    for batch in torch.randperm(len(train_x), device=device).split(50):
        loss = loss_function(model(train_x[batch]), train_y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(test_x).argmax(1) == test_y).float().mean()
    swath.log({"train/loss": loss, "val/acc": accuracy}, epoch=epoch)  # tensors of one number are numbers

torch.save(model.state_dict(), swath.out() / "model.pt")
swath.finish({"val/acc": accuracy})
