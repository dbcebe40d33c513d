"""Trains a small network on scikit-learn's digits. It knows nothing of Swath."""

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

grid = {"lr": [0.001, 0.01, 0.1], "batch_size": [32, 128], "seed": [0, 1, 2, 3, 4]}


def objective(trial, epochs=10):
    lr = trial.suggest_categorical("lr", grid["lr"])
    batch_size = trial.suggest_categorical("batch_size", grid["batch_size"])
    seed = trial.suggest_categorical("seed", grid["seed"])
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, random_state=0)
    train_images, test_images, train_labels, test_labels = split
    model = MLPClassifier((64,), batch_size=batch_size, learning_rate_init=lr,
                          random_state=seed)
    for epoch in range(1, epochs + 1):
        model.partial_fit(train_images, train_labels, classes=range(10))
        accuracy = model.score(test_images, test_labels)
        print(f"epoch {epoch}: loss {model.loss_:.4f}, val_acc = {accuracy:.4f}", flush=True)
    return accuracy


study = optuna.create_study(study_name="digits", storage="sqlite:///optuna.db", direction="maximize",
                            sampler=optuna.samplers.GridSampler(grid), load_if_exists=True)
study.optimize(objective, n_jobs=2)
trials = study.trials_dataframe()
# With n_jobs, a point of the grid may be tried twice.
trials = trials.drop_duplicates(["params_lr", "params_batch_size", "params_seed"])
print(trials.groupby(["params_lr", "params_batch_size"])["value"].median().unstack())
