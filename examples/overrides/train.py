"""A program with overrides on its command line, `model.width=8 lr=0.1`, as Hydra and OmegaConf take them.

With Hydra, this is a function with @hydra.main; here it is a few lines, so that the example needs only Python. It fits a
wave by a sum of random waves, and writes its result to a file of its own in the directory that the sweep file names.
"""
import json
import math
import random
import sys
from pathlib import Path

config = {"seed": 0, "lr": 0.1, "epochs": 20, "model": {"width": 8}, "output": "."}
for word in sys.argv[1:]:
    path, _, text = word.partition("=")
    *tables, name = path.split(".")
    table = config
    for part in tables:
        table = table[part]
    table[name] = type(table[name])(text)

rng = random.Random(config["seed"])
waves = [(rng.gauss(0, 2), rng.uniform(0, 2 * math.pi)) for _ in range(config["model"]["width"])]
weights = [0.0] * len(waves)
points = [(i / 50, math.sin(3 * i / 50)) for i in range(-50, 51)]

history = []
for epoch in range(1, config["epochs"] + 1):
    rng.shuffle(points)
    squares = 0.0
    for x, y in points:
        values = [math.cos(a * x + b) for a, b in waves]
        error = sum(w * v for w, v in zip(weights, values)) - y
        weights = [w - config["lr"] * error * v / len(waves) for w, v in zip(weights, values)]
        squares += error**2
    history.append({"epoch": epoch, "mse": squares / len(points)})

Path(config["output"], "history.json").write_text(json.dumps(history))
