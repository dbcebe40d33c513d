#!/usr/bin/env python3
"""A trainer for tests: the path of the data set says what to do."""
import json
import os
import signal
import subprocess
import sys
import time

served = 0


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def leave_child(path):
    """Starts a process that leaves the group and outlives its parent."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open(path, "w") as file:
        file.write(f"{child.pid}\n")


def note_pid(path):
    with open(path, "w") as file:
        file.write(f"{os.getpid()}\n")


def end(code, text=""):
    sys.stderr.write(text)
    sys.stderr.flush()
    os._exit(code)


def finish():
    for epoch in (1, 2):
        say("epoch", epoch=epoch, step=epoch * 10, test_error=50.0 / epoch, train_loss=float("nan"))
    say("finished", test_error=float(served), train_seconds=0.5)


def train(deed):
    word, _, rest = deed.partition(" ")
    if word == "ok":
        sys.stderr.write(f"serving {served}\n")
        finish()
    elif word == "fail":
        say("failed", fault=rest, message=f"asked to be {rest}")
    elif word == "exit":
        end(int(rest), "Traceback\nValueError: no luck\n")
    elif word == "signal":
        os.kill(os.getpid(), int(rest))
    elif word == "eat":
        with open(rest + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        bytearray(200 << 20)
    elif word == "text":
        print("loss: 3", flush=True)
        time.sleep(1000)
    elif word == "endless":
        sys.stdout.write("x" * (3 << 20))
        sys.stdout.flush()
        time.sleep(1000)
    elif word == "nothing":
        say("finished", test_error=None)
    elif word == "hang":
        note_pid(rest)
        time.sleep(1000)
    elif word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note_pid(rest)
        time.sleep(1000)
    elif word == "polite":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
        note_pid(rest)
        say("epoch", epoch=1, test_error=50.0)
        time.sleep(1000)
    elif word == "leave":
        leave_child(rest)
        end(1, "left a child\n")
    elif word == "wait":
        note_pid(rest + ".pid")
        say("epoch", epoch=1, test_error=50.0)
        while not os.path.exists(rest):
            time.sleep(0.005)
        finish()
    elif word == "chatter":
        for _ in range(200):
            sys.stderr.write("y" * 4095 + "\n")
        sys.stderr.write("the end\n")
        finish()
    else:
        end(99, f"unknown deed {deed}\n")


assert sys.argv[1] == "serve", sys.argv
say("ready", provenance={"device": "test cpu", "trainer": "fake 1", "threads": 1})
for line in sys.stdin:
    served += 1
    say("started", total_epochs=2)
    train(json.loads(line)["dataset"]["path"])
