#!/usr/bin/env python3
"""Models data-parallel training on many GPUs and prints the tables of docs/scaling.md.

    python3 trainer/benches/scaling.py [--net alexnet] [--batch 256] [--rate 5000,10000,20000] ..

The model, for n ranks with b pictures each:

    compute     C = b / rate                                a step of one GPU, measured by `trainer check-gpu`
    gradients   G = 4 parameters                            bytes
    copies      D = 2 G / pcie                              gradients down to the host, their sums up again
    exchange    A = 2 (n - 1) / n G / link + 2 (n - 1) latency buckets      all-reduce in a ring
    hidden      H = 2/3 C (1 - fc)                          backward pass of the convolutions, which comes after that of the
                                                            fully connected layers, whose gradients are nearly all bytes
    exposed     E = D + max(0, A - H)
    step        C + E,   efficiency C / (C + E)

fc is the share of the fully connected layers in the multiplications. The GPU waits for the copies: the thread that asks for kernels
makes them. The exchange runs beside the backward pass.
"""

import argparse

# Parameters, those in tensors larger than a bucket and how many these are, multiplications of a picture, those of its fully connected
# layers (`trainer summary`).
NETS = {
    "alexnet": (61_100_840, 58_621_952, 3, 714.2e6, 58.6e6),
    "alexnet-cifar": (5_671_754, 2_359_296, 1, 134.8e6, 3.4e6),
}


def step(arguments, ranks, rate):
    """Seconds of one step: compute, copies, exchange, exposed."""
    parameters, large, tensors, products, fully_connected = NETS[arguments.net]
    gradients = 4 * parameters
    compute = arguments.batch / rate
    if ranks == 1:
        return compute, 0.0, 0.0, 0.0
    link = arguments.link if ranks <= arguments.node else arguments.network
    buckets = tensors + 4 * (parameters - large) / (arguments.bucket * 2**20)
    copies = 2 * gradients / (arguments.pcie * 1e9)
    exchange = 2 * (ranks - 1) / ranks * gradients / (link * 1e9) + 2 * (ranks - 1) * arguments.latency * 1e-6 * buckets
    hidden = 2 / 3 * compute * (1 - fully_connected / products)
    return compute, copies, exchange, copies + max(0.0, exchange - hidden)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="alexnet", choices=NETS)
    parser.add_argument("--batch", type=int, default=256, help="pictures of a rank")
    parser.add_argument("--rate", default="5000,10000,20000", help="images/s of one GPU, separated by commas")
    parser.add_argument("--pcie", type=float, default=25.0, help="GB/s between GPU and host")
    parser.add_argument("--link", type=float, default=10.0, help="GB/s of the all-reduce between ranks of a machine")
    parser.add_argument("--network", type=float, default=12.5, help="GB/s between machines")
    parser.add_argument("--node", type=int, default=8, help="GPUs of a machine")
    parser.add_argument("--latency", type=float, default=5.0, help="microseconds of a message")
    parser.add_argument("--bucket", type=float, default=4.0, help="MiB of a bucket")
    arguments = parser.parse_args()
    rates = [float(rate) for rate in arguments.rate.split(",")]
    parameters = NETS[arguments.net][0]
    print(f"{arguments.net}, {arguments.batch} pictures a GPU, gradients {4 * parameters / 1e6:.1f} MB; PCIe {arguments.pcie} GB/s, ", end="")
    print(f"all-reduce {arguments.link} GB/s within {arguments.node} GPUs, {arguments.network} GB/s beyond\n")
    head = "".join(f" at {rate:.0f} images/s: efficiency | limited by |" for rate in rates)
    print(f"| GPUs | copies, ms | exchange, ms |{head}\n|{' --- |' * (3 + 2 * len(rates))}")
    for ranks in (1, 2, 4, 8, 16, 32, 64):
        _, copies, exchange, _ = step(arguments, ranks, rates[0])
        cells = [str(ranks), f"{copies * 1e3:.1f}", f"{exchange * 1e3:.1f}"]
        for rate in rates:
            compute, copies, exchange, exposed = step(arguments, ranks, rate)
            limit = "compute" if exposed < compute / 10 else "exchange" if exposed > 2 * copies else "copies"
            cells += [f"{compute / (compute + exposed):.2f}", limit]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
