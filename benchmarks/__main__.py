"""The benchmarks of the service as it runs, one after another, each in a process of its own; `make bench`.

make bench    IMAGES=200, ROUNDS=5 for a short run, CORPUS=dir for other pictures, CHECK=1 to fail over a target
"""

import subprocess
import sys

BENCHMARKS = ("end_to_end", "delta", "worker", "cold_start", "memory")


def main() -> None:
    """Run all of them, whether or not one fails; print each one's targets again; exit with 1 if one failed."""
    ends = {name: run(name) for name in BENCHMARKS}
    print()
    for name, (last_line, _) in ends.items():
        print(f"{name}: {last_line}")
    sys.exit(any(failed for _, failed in ends.values()))


def run(name: str) -> tuple[str, bool]:
    """Run one, its output as it comes; its last line, and whether it failed."""
    last_line = "ended without a figure"
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last_line = line.rstrip() or last_line
    return last_line, process.returncode != 0


if __name__ == "__main__":
    main()
