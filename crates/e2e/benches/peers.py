"""60 runs of a program that takes a second, two at a time, by another tool: `python peers.py TOOL JOBS`.

The program is a process of its own, as a user's script is, and its number is read from what it prints. The whole of this
process is timed by the benchmark, as the whole of `coordinator run` is.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = ["sh", "-c", "sleep 1; echo acc=0.5"]


def measured() -> float:
    printed = subprocess.run(PROGRAM, check=True, capture_output=True, text=True).stdout
    return float(printed.partition("acc=")[2])


def by_optuna(jobs: int, storage: str | None) -> int:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("x", list(range(jobs)))
        return measured()

    # More values than jobs would do as well: the grid is only there so that each is tried once.
    sampler = optuna.samplers.GridSampler({"x": list(range(jobs))})
    study = optuna.create_study(storage=storage, sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=jobs, n_jobs=2)
    return len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))


def by_ray(jobs: int) -> int:
    import ray
    from ray import tune

    def trainable(config: dict) -> None:
        tune.report({"acc": measured()})

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    tuner = tune.Tuner(trainable, param_space={"x": tune.grid_search(list(range(jobs)))})
    return sum("acc" in (result.metrics or {}) for result in tuner.fit())


def by_wandb(jobs: int) -> int:
    """Sweeps need W&B's server: these are its runs without one, two at a time."""
    from concurrent.futures import ThreadPoolExecutor

    run = [sys.executable, __file__, "wandb-run"]
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda _: subprocess.run(run, capture_output=True).returncode, range(jobs))
    return sum(code == 0 for code in done)


def wandb_run() -> None:
    import wandb

    with wandb.init(mode="offline", settings=wandb.Settings(silent=True)) as run:
        run.log({"acc": measured()})


def main() -> None:
    tool, jobs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    if tool == "wandb-run":
        wandb_run()
        return
    ways = {
        "optuna": lambda: by_optuna(jobs, None),
        "optuna-sqlite": lambda: by_optuna(jobs, "sqlite:///optuna.db"),
        "ray": lambda: by_ray(jobs),
        "wandb": lambda: by_wandb(jobs),
    }
    done = ways[tool]()
    assert done == jobs, f"{done} of {jobs} runs ended well"


if __name__ == "__main__":
    main()
