import re
import sys
from pathlib import Path

import pandas
from omegaconf import OmegaConf

rows = []
for log in Path(sys.argv[1]).glob("*/train.log"):
    config = OmegaConf.load(log.parent / ".hydra/config.yaml")
    accuracies = re.findall(r"val_acc = (\S+)", log.read_text())
    rows.append({**config, "val_acc": float(accuracies[-1])})
print(pandas.DataFrame(rows).groupby(["lr", "batch_size"])["val_acc"].median().unstack())
