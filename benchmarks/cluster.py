"""Prove that a sweep loses nothing and repeats nothing: ``python -m benchmarks.cluster FOLDER [--jobs 40]``.

1. On this machine (``local``), which is what the others are held against.
2. On a Ray cluster of two nodes, while a job, a worker and a whole node are killed; then the driver's own second start.
3. With submitit's local executor, while jobs are preempted and queued again.

Every run's edit, latents, log and numbers must be the same, byte by byte. Jobs are runs of the bundled StyleGAN2 with
two steps: what they erase does not matter here. It takes some ten minutes on two cores, most of it importing torch.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

EXACT = ("edit.safetensors", "latents.safetensors", "log.jsonl", "metrics.json")
SWEEP = """
methods = ["average-target"]
generators = ["stylegan2"]
seeds = {seeds}

[common]
save_every = 0.0
method.steps = 3
metrics = {{ names = ["preservation"], samples = 2 }}
request = {{ bystanders = [], random_bystanders = 1, align = false }}

[[people]]
name = "ada"
latent_seed = 1

[[people]]
name = "bo"
latent_seed = 2

[launcher]
retries = 5
"""


def main() -> None:
    """Do all three, say what was seen, and fail where results differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=40, help="jobs on the Ray cluster")
    parser.add_argument("--queued", type=int, default=4, help="jobs through submitit")
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    whole, part = folder / "sweep.toml", folder / "queued.toml"
    whole.write_text(SWEEP.format(seeds=list(range(given.jobs // 2))))
    launcher = 'name = "slurm"\nworkers = 1\nexecutor = "local"\n'
    part.write_text(SWEEP.format(seeds=list(range(given.queued // 2))) + launcher)
    sweep(folder / "local", whole, "local")
    on_two_nodes(folder, whole)
    queued(folder, part)


def sweep(out: Path, file: Path, launcher: str, **environment: str) -> None:
    """One sweep to its end; a second start must find nothing to do."""
    began = time.monotonic()
    done = subprocess.run(command(out, file, launcher), env=os.environ | environment, capture_output=True, text=True)
    print(f"{launcher}: exit code {done.returncode} after {time.monotonic() - began:.0f} s")
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    print("\n".join(line for line in done.stdout.splitlines() if " starts, " in line or " to do" in line))


def command(out: Path, file: Path, launcher: str) -> list[str]:
    """The command of a sweep."""
    return [sys.executable, "-m", "unlearnkit", "sweep", str(file), "--out", str(out), "--launcher", launcher]


def on_two_nodes(folder: Path, file: Path) -> None:
    """A cluster of a head without cores and two nodes with one each, of which one is lost on the way."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # of their own accord workers are at 15
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**8})
    try:
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=10**8) for _ in range(2)]
        killer = threading.Thread(target=trouble, args=(folder / "ray", cluster, nodes[0]), daemon=True)
        killer.start()
        sweep(folder / "ray", file, "ray", RAY_ADDRESS=cluster.address)
        killer.join(timeout=1)
        if killer.is_alive():
            raise SystemExit("the sweep ended before everything was killed; give more --jobs")
        sweep(folder / "ray", file, "ray", RAY_ADDRESS=cluster.address)
        compare(folder / "local", folder / "ray")
    finally:
        cluster.shutdown()


def trouble(out: Path, cluster: object, node: object) -> None:
    """Kill a job's process, then the worker that waits for one, then a node; each while jobs are running."""
    wait_for(lambda: len(finished(out)) >= 3 and jobs(out))
    job = jobs(out)[0]
    print(f"killing the process of a job, {job.cmdline()[-1].rpartition('/')[2]}")
    job.kill()
    wait_for(lambda: len(finished(out)) >= 6 and jobs(out))
    worker = jobs(out)[0].parent()
    print(f"killing a worker, {worker.name()}")
    worker.kill()
    wait_for(lambda: len(finished(out)) >= 10 and jobs(out))
    print("killing a node")
    cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]


def queued(folder: Path, file: Path) -> None:
    """Submitit's local executor; jobs are preempted twice as Slurm does it, by SIGUSR2 to the task."""
    out = folder / "slurm"
    threading.Thread(target=preempt, args=(out, 2), daemon=True).start()
    sweep(out, file, "slurm")
    requeued = sum(log.read_text().count("Requeued job") for log in (out / "launcher").glob("*_log.out"))
    print(f"slurm: queued again {requeued} times")
    if requeued < 2:
        raise SystemExit("no job was preempted")
    compare(folder / "local", out)


def preempt(out: Path, times: int) -> None:
    """Tell the task of a running job to make way, once its run has begun."""
    for _ in range(times):
        seen = finished(out)
        wait_for(lambda: len(jobs(out)) > 0 and any(out.glob("runs/*/checkpoint/state.json")))
        task = jobs(out)[0].parent()
        print(f"preempting a job, {task.name()}")
        task.send_signal(signal.SIGUSR2)
        wait_for(lambda seen=seen: len(finished(out)) > len(seen))


def jobs(out: Path) -> list[psutil.Process]:
    """The processes of jobs in a sweep's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "unlearnkit.sweeps.job" in words and words[-1].startswith(f"{out}/"):
            found.append(process)
    return found


def finished(out: Path) -> list[Path]:
    """Runs that are finished."""
    manifests = out.glob("runs/*/manifest.json")
    return [path.parent for path in manifests if json.loads(path.read_bytes())["status"] == "finished"]


def wait_for(condition: object) -> None:
    """Wait until something is so."""
    while not condition():  # type: ignore[operator]
        time.sleep(0.05)


def compare(one: Path, other: Path) -> None:
    """Every run of ``other`` is that of ``one``, byte by byte."""
    runs = finished(other)
    wrong = [f"{run.name}/{name}" for run in runs for name in EXACT
             if (one / "runs" / run.name / name).read_bytes() != (run / name).read_bytes()]
    if wrong or not runs:
        raise SystemExit(f"{other.name}: {len(wrong)} files differ: {wrong[:5]}")
    print(f"{other.name}: all {len(runs)} runs are those of {one.name}, byte by byte ({', '.join(EXACT)})")


if __name__ == "__main__":
    main()
