"""Membership under faults, in the simulator.

    python -m benchmarks.gossip_sim [--json] [--only NAME]... [--quick | --full]

Exit code 0: every bound that was measured is met; 1: some bound is not met.
"""

import argparse
import os
import platform
import sys
import time

import msgspec

from benchmarks._figures import Experiment, Report, Size, lines
from benchmarks._healing import one_way, partitions, restart_all
from benchmarks._lifeguard import lifeguard
from benchmarks._losses import loss_grid
from benchmarks._scale import idle, local_crash

EXPERIMENTS: dict[str, Experiment] = {
    "lifeguard": lifeguard,
    "loss_grid": loss_grid,
    "partitions": partitions,
    "restart_all": restart_all,
    "one_way": one_way,
    "idle": idle,
    "local_crash": local_crash,
}


def main() -> int:
    """Run the chosen experiments one after the other and print each as soon as it is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gossip_sim", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document at the end")
    parser.add_argument("--only", action="append", choices=sorted(EXPERIMENTS), help="may be repeated")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="a look, about a minute")
    amount.add_argument("--full", action="store_true", help="enough seeds for percentages, hours")
    chosen = parser.parse_args()
    size: Size = "quick" if chosen.quick else "full" if chosen.full else "default"
    reports: list[Report] = []
    for name in chosen.only or EXPERIMENTS:
        start, cpu_start = time.perf_counter(), time.process_time()
        report = EXPERIMENTS[name](size)
        report = msgspec.structs.replace(
            report,
            wall_s=round(time.perf_counter() - start, 1),
            cpu_s=round(time.process_time() - cpu_start, 1),
        )
        reports.append(report)
        if not chosen.json:
            print("\n".join(lines(report)), flush=True)
    met = all(figure.met is not False for report in reports for figure in report.figures)
    if chosen.json:
        document = {
            "benchmark": "gossip_sim",
            "size": size,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "met": met,
            "experiments": reports,
        }
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
