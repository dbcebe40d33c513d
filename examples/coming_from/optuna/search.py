"""Optuna proposes, Swath trains: four learning rates at a time, each with three seeds."""

import optuna
import swath

PROGRAM = {
    "command": ["python3", "train.py", "--seed", "{seed}"],
    "directory": "../../argparse",
    "arguments": "flags",
    "metric": "val/acc",
    "goal": "maximize",
    "read": {"stdout": r"val_acc = (?<val/acc>\S+)"},
}

head = swath.connect()
study = optuna.create_study(direction="maximize")
for _ in range(5):
    trials = [study.ask() for _ in range(4)]
    rates = [trial.suggest_float("lr", 1e-4, 1, log=True) for trial in trials]
    sweep = {"sweep": {"name": "search", "replicates": 3}, "program": PROGRAM, "grid": [{"lr": rates}]}
    medians = {row["params.lr"]: row["median"] for row in head.submit(sweep, wait=True)}
    for trial, rate in zip(trials, rates):
        study.tell(trial, medians[rate])
print(study.best_params, study.best_value)
