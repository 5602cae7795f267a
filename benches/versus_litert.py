#!/usr/bin/env python3
"""Times models with LiteRT and with Ferrolite, in turns on the same machine, and prints a Markdown table.

    versus_litert.py MODEL ... [--ferrolite PATH] [--rounds N] [--seconds S] [--threads 1,2] [--busy N] [--out FILE]

Each round runs both runtimes once, each in a process of its own, the order swapped from round to round; the table has the best
round of each side (times: the lowest of the rounds' medians; memory: the lowest peak), so that a disturbed round does not count.
Loading is file to ready-to-run. Memory is what the process's largest resident size grew by since before the model was loaded,
as neither the Python interpreter around LiteRT nor the command around Ferrolite is the runtime's own; code that is touched for
the first time while a model loads and runs counts for both. In brackets: Ferrolite's whole process. `ratio` is LiteRT's
time over Ferrolite's: above 1, Ferrolite is faster. With `--busy N`, N processes that never rest run beside both.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time

WARMUP = 3
FIGURES = ("median_ms", "load_ms", "first_ms", "growth_mb")
PROCESS = "peak_rss_mb"


def peak_rss_mb():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_litert(model, threads, seconds):
    """The body of the LiteRT child process: prints one line of JSON with the fields of `ferrolite bench --json`."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    before = peak_rss_mb()
    start = time.perf_counter()
    made = Interpreter(model, num_threads=threads)
    made.allocate_tensors()
    loaded = time.perf_counter()
    rng = np.random.default_rng(0)
    for detail in made.get_input_details():
        dtype = np.dtype(detail["dtype"])
        values = rng.uniform(-1, 1, detail["shape"]) if dtype.kind == "f" else rng.integers(0, 100, detail["shape"])
        made.set_tensor(detail["index"], values.astype(dtype))
    times = []
    while len(times) <= WARMUP or time.perf_counter() - loaded < seconds:
        begin = time.perf_counter()
        made.invoke()
        times.append(1e3 * (time.perf_counter() - begin))
    timed = times[WARMUP:]
    print(json.dumps({
        "load_ms": 1e3 * (loaded - start), "first_ms": times[0], "median_ms": statistics.median(timed), "min_ms": min(timed),
        "runs": len(timed), "growth_mb": peak_rss_mb() - before, PROCESS: peak_rss_mb(),
    }))  # fmt: skip


def run(command):
    """Runs one child and returns the JSON of its last line; None, with a note on standard error, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        error = done.stderr.strip().splitlines()
        print(f"{command[0]} failed with {done.returncode}: {error[-1] if error else ''}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def best(rounds):
    """Each figure's best over the rounds; None if any round failed."""
    if any(figures is None for figures in rounds):
        return None
    return {name: min(figures[name] for figures in rounds) for name in (*FIGURES, PROCESS)}


def measure(model, threads, args):
    """(LiteRT's figures, Ferrolite's) for one model, either None where that runtime failed."""
    litert = [sys.executable, os.path.abspath(__file__), "--litert-child", model, str(threads), str(args.seconds)]
    ferrolite = [args.ferrolite, "bench", model, "--threads", str(threads), "--seconds", str(args.seconds), "--json"]
    theirs, ours = [], []
    for number in range(args.rounds):
        turns = [(theirs, litert), (ours, ferrolite)]
        for results, command in turns if number % 2 == 0 else reversed(turns):
            results.append(run(command))
    return best(theirs), best(ours)


def cells(figures, name):
    return "failed" if figures is None else f"{figures[name]:.2f}" if figures[name] < 10 else f"{figures[name]:.1f}"


def table(models, threads, args):
    """The lines of the table for one thread count."""
    head = ["model", "LiteRT ms", "Ferrolite ms", "ratio", "load ms", "first ms", "memory MB"]
    yield f"## {threads} thread" + ("s" if threads > 1 else "")
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    ratios = {name: [] for name in FIGURES}
    for model in models:
        theirs, ours = measure(model, threads, args)
        ratio = "-"
        if theirs and ours:
            for name in FIGURES:
                ratios[name].append(max(theirs[name], 1e-3) / max(ours[name], 1e-3))
            ratio = f"{ratios['median_ms'][-1]:.2f}"
        pairs = [f"{cells(theirs, name)} / {cells(ours, name)}" for name in FIGURES[1:]]
        pairs[-1] += f" ({cells(ours, PROCESS)})"
        name = os.path.splitext(os.path.basename(model))[0]
        yield "| " + " | ".join([name, cells(theirs, "median_ms"), cells(ours, "median_ms"), ratio, *pairs]) + " |"
    if ratios["median_ms"]:
        median, load, first, memory = (math.exp(statistics.fmean(map(math.log, ratios[name]))) for name in FIGURES)
        count = len(ratios["median_ms"])
        yield f"| ratio, geometric mean of {count} | | | {median:.2f} | {load:.2f} | {first:.2f} | {memory:.2f} |"
    yield ""


@contextlib.contextmanager
def busy(processes):
    """Keeps so many processes computing, as on a machine that others use."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def main():
    if sys.argv[1:2] == ["--litert-child"]:
        return time_litert(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--ferrolite", default="ferrolite", metavar="PATH", help="the command to time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="measuring time per run (default: %(default)s)")
    parser.add_argument("--threads", default="1,2", help="thread counts, comma separated (default: %(default)s)")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes that never rest beside both (default: none)")
    parser.add_argument("--out", metavar="FILE", help="write the tables to a file as well")
    args = parser.parse_args()
    lines = ["# Ferrolite and LiteRT side by side", "", "Pairs are LiteRT / Ferrolite; ratio is LiteRT's time over Ferrolite's.", ""]
    print("\n".join(lines))
    with busy(args.busy):
        for threads in map(int, args.threads.split(",")):
            for line in table(args.models, threads, args):
                print(line, flush=True)
                lines.append(line)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))


if __name__ == "__main__":
    main()
