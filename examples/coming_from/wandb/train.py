"""Trains a small network on scikit-learn's digits. It knows nothing of Swath."""

import argparse

import wandb
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
wandb.init(config=vars(args))

images, labels = load_digits(return_X_y=True)
split = train_test_split(images / 16, labels, test_size=0.25, random_state=0)
train_images, test_images, train_labels, test_labels = split
model = MLPClassifier((64,), batch_size=args.batch_size, learning_rate_init=args.lr,
                      random_state=args.seed)
for epoch in range(1, args.epochs + 1):
    model.partial_fit(train_images, train_labels, classes=range(10))
    accuracy = model.score(test_images, test_labels)
    print(f"epoch {epoch}: loss {model.loss_:.4f}, val_acc = {accuracy:.4f}", flush=True)
    wandb.log({"epoch": epoch, "loss": model.loss_, "val_acc": accuracy})
