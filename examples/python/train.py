"""A training that Swath can sweep: logistic regression by SGD, using only the standard library.

Swath writes the job spec as one JSON object to stdin; this program prints one JSON line per epoch, and
`finished` with the metric that sweep.toml names. Text on stderr becomes the job's log.
"""
import json
import math
import random
import sys

spec = json.load(sys.stdin)
params = spec["params"]
rng = random.Random(spec["seed"])  # everything random comes from the seed, so the same job gives the same result

points = [(rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(600)]
data = [(x, y, 1 if x - 0.5 * y + rng.gauss(0, 0.5) > 0.2 else 0) for x, y in points]
train, test = data[:400], data[400:]
a = b = c = 0.0

print(json.dumps({"event": "started", "total_epochs": params["epochs"]}))
for epoch in range(1, params["epochs"] + 1):
    rng.shuffle(train)
    for x, y, label in train:
        slope = 1 / (1 + math.exp(-max(-30.0, min(30.0, a * x + b * y + c)))) - label
        a, b, c = (w * (1 - params["lr"] * params["decay"]) - params["lr"] * slope * v for w, v in ((a, x), (b, y), (c, 1)))
    wrong = sum((a * x + b * y + c > 0) != label for x, y, label in test)
    error = 100 * wrong / len(test)
    print(json.dumps({"event": "epoch", "epoch": epoch, "test_error": error, "lr": params["lr"]}))
print(f"weights {a:.3f} {b:.3f} {c:.3f}", file=sys.stderr)
print(json.dumps({"event": "finished", "test_error": error}))
