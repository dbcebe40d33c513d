import sys

import pandas
import wandb

runs = wandb.Api().sweep(sys.argv[1]).runs
rows = [{**run.config, "val_acc": run.summary["val_acc"]} for run in runs]
print(pandas.DataFrame(rows).groupby(["lr", "batch_size"])["val_acc"].median().unstack())
