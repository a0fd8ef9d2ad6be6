#!/usr/bin/env python3
"""Times a training step of the trainer against PyTorch's on this CPU, or on a GPU, and prints a Markdown table.

    cargo build --release -p staticnet-trainer --example step_time
    python3 trainer/benches/against_pytorch.py [--rounds 21] [--threads 1,2] [--nets lenet:64,alexnet-cifar:64,alexnet:16]

    scripts/build-cuda --example step_time
    CARGO_TARGET_DIR=target/cuda/build python3 trainer/benches/against_pytorch.py --device cuda:0 --precision tf32 \\
        --threads 1 --nets alexnet-cifar:256,alexnet:256

A step is forward, loss, backward and SGD with momentum 0.9 and decay 5e-4, on the same nets, sizes and number of threads.
Both sides are processes that take their steps in turn, so whatever else the machine does hits both; each round gives one
ratio, and the table has the median of them. The first round is dropped. "processor time" is the ratio of what the cores
worked, all threads together: it hardly feels other processes, but counts the spinning of waiting threads. The weights are drawn from the same distribution on
both sides (not the same numbers), so the losses agree roughly; they are printed to show that both learn the same thing.
"""

import argparse
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = {"lenet": 10, "alexnet-cifar": 10, "alexnet": 1000}
SHAPES = {"lenet": (1, 28, 28), "alexnet-cifar": (3, 32, 32), "alexnet": (3, 224, 224)}
LEARNING_RATE = 1e-4


def model(net):
    """The layers of `graph/src/models`."""
    from torch import nn

    def conv(inputs, outputs, kernel, stride=1, padding=0):
        return [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)]

    def linear(inputs, outputs):
        return [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]

    if net == "lenet":
        features = [*conv(1, 20, 5), nn.MaxPool2d(2, 2), *conv(20, 50, 5), nn.MaxPool2d(2, 2)]
        return nn.Sequential(*features, nn.Flatten(), *linear(800, 500), nn.Linear(500, 10))
    if net == "alexnet":
        first, second, flat, hidden = conv(3, 64, 11, 4, 2), conv(64, 192, 5, 1, 2), 9216, 4096
    else:
        first, second, flat, hidden = conv(3, 64, 3, 1, 1), conv(64, 192, 3, 1, 1), 2304, 1024
    features = [*first, nn.MaxPool2d(3, 2), *second, nn.MaxPool2d(3, 2)]
    features += [*conv(192, 384, 3, 1, 1), *conv(384, 256, 3, 1, 1), *conv(256, 256, 3, 1, 1), nn.MaxPool2d(3, 2)]
    classifier = [nn.Dropout(0.5), *linear(flat, hidden), nn.Dropout(0.5), *linear(hidden, hidden)]
    return nn.Sequential(*features, nn.Flatten(), *classifier, nn.Linear(hidden, CLASSES[net]))


def worker(net, batch, threads, device, precision):
    """PyTorch's side: for each number on standard input so many steps, answered with seconds a step and the loss."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    # What PyTorch calls "highest" is binary32 throughout; left alone its convolutions would take TF32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    half = torch.autocast("cuda", dtype=torch.float16, enabled=precision == "f16")
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "f16")
    torch.manual_seed(1)
    network = model(net)
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    network.to(device)
    sgd = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
    # On a GPU the batch comes from the host in every step, as it does on our side.
    images = torch.randn(batch, *SHAPES[net])
    labels = torch.tensor([i * 7 % CLASSES[net] for i in range(batch)])
    if device != "cpu":
        images, labels = images.pin_memory(), labels.pin_memory()
    for line in sys.stdin:
        steps = int(line)
        start = time.perf_counter()
        for _ in range(steps):
            sgd.zero_grad()
            with half:
                scores = network(images.to(device, non_blocking=True))
                loss = nn.functional.cross_entropy(scores, labels.to(device, non_blocking=True))
            scaler.scale(loss).backward()
            scaler.step(sgd)
            scaler.update()
            value = loss.item()
        if device != "cpu":
            torch.cuda.synchronize(device)
        print((time.perf_counter() - start) / steps, value, flush=True)


class Side:
    """A process that takes steps when told to."""

    def __init__(self, command, threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.loss = float("nan")

    def processor_seconds(self):
        """What all threads of the process have run, however long they had to wait for a core."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def run(self, steps):
        """Seconds a step took, and processor seconds."""
        before = self.processor_seconds()
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds, self.loss = map(float, self.process.stdout.readline().split())
        return seconds, (self.processor_seconds() - before) / steps

    def close(self):
        """Ends the process; the most memory it ever held, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        self.process.stdin.close()
        self.process.wait()
        return peak / 1024


def compare(net, batch, threads, rounds, seconds, device, precision):
    """One line of the table."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = Side([target / "release/examples/step_time", net, str(batch), str(threads), "worker", device, precision], threads)
    theirs = Side([sys.executable, __file__, "--worker", net, str(batch), str(threads), device, precision], threads)
    # The first step also allocates; the second tells how many make a round.
    theirs.run(1)
    ours.run(1)
    steps = max(1, round(seconds / theirs.run(1)[0]))
    turns = []
    for turn in range(rounds + 1):
        times = {side: side.run(steps) for side in ((ours, theirs) if turn % 2 else (theirs, ours))}
        turns.append((*times[ours], *times[theirs]))
    ours_s, ours_cpu, theirs_s, theirs_cpu = zip(*turns[1:])
    ratios = sorted(a / b for a, b in zip(ours_s, theirs_s))
    cpu_ratios = [a / b for a, b in zip(ours_cpu, theirs_cpu)]
    cells = [net, batch, threads, f"{statistics.median(ours_s) * 1e3:.1f}", f"{statistics.median(theirs_s) * 1e3:.1f}"]
    cells += [f"{statistics.median(ratios):.2f}", f"{ratios[len(ratios) // 4]:.2f} to {ratios[-1 - len(ratios) // 4]:.2f}"]
    cells += [f"{statistics.median(cpu_ratios):.2f}", f"{ours.loss:.2f}, {theirs.loss:.2f}"]
    return cells + [f"{ours.close():.0f}, {theirs.close():.0f}"]


def processor():
    """The processor's name."""
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="lenet:64,alexnet-cifar:64,alexnet:16", help="net:batch, separated by commas")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--rounds", type=int, default=21, help="rounds that count")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long a turn takes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N, the same on both sides")
    parser.add_argument("--precision", default="f32", choices=["f32", "tf32", "f16"], help="products on a GPU, the same on both sides")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        net, batch, threads, device, precision = arguments.worker
        return worker(net, int(batch), int(threads), device, precision)
    import torch

    versions = f"PyTorch {torch.__version__}, {subprocess.check_output(['rustc', '--version'], text=True).strip()}"
    where = processor()
    if arguments.device != "cpu":
        where = f"{torch.cuda.get_device_name(arguments.device)}, {arguments.precision}, CUDA {torch.version.cuda}"
    print(f"{where}; {versions}; {datetime.date.today()}; {arguments.rounds} rounds\n")
    head = ["net", "batch", "threads", "ours, ms", "PyTorch, ms", "ratio", "its quartiles", "processor time", "losses", "peak MiB"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for item in arguments.nets.split(","):
        net, batch = item.split(":")
        for threads in map(int, arguments.threads.split(",")):
            on = arguments.device, arguments.precision
            cells = compare(net, int(batch), threads, arguments.rounds, arguments.seconds, *on)
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
