"""Erase each of the ten held-out people that ship, one run each with the default settings, and average.

    python -m unlearnkit_demo.training.erasure --runs DIR --out plugins/demo/erased.json [--set SECTION.FIELD=VALUE ...]
    python -m unlearnkit_demo.training.erasure --generator eg3d --runs DIR --out plugins/demo/erased_eg3d.json

Runs that are finished are not done again; about a quarter of an hour, and with EG3D twice that.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from unlearnkit.files.atomic import write_bytes
from unlearnkit_demo import PICTURES

PEOPLE = 10
KEYS = ("erased_before", "erased_after", "erased_front_after", "erased_worst_view_after", "others_before",
        "others_after", "bystanders_before", "bystanders_after", "bystanders_change", "preserved_identity", "strangers",
        "same_person", "depth_change_erased", "depth_change_bystanders", "depth_between_bystanders")


def erase(person: int, generator: str, folder: Path, settings: list[str]) -> None:
    """``unlearnkit run`` on one person; the first pictures of the other nine stand by."""
    name = f"person_{person:02d}"
    command = ["unlearnkit", "run", "--method", "guide", "--generator", generator, "--out", str(folder),
               "--set", f"request.name={name}"]
    for picture in sorted(PICTURES.glob(f"{name}_*.png")):
        command += ["--image", str(picture)]
    for other in range(PEOPLE):
        if other != person:
            command += ["--bystander", str(PICTURES / f"person_{other:02d}_0.png")]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder for the run directories")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--generator", choices=("stylegan2", "eg3d"), default="stylegan2")
    parser.add_argument("--people", type=int, default=PEOPLE, help="only the first so many of the ten")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as unlearnkit run takes it")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for person in range(min(args.people, PEOPLE)):
        folder = args.runs / f"person_{person:02d}"
        if not (folder / "report.html").exists():
            erase(person, args.generator, folder, args.settings)
        metrics = json.loads((folder / "metrics.json").read_text())
        seconds = sum(json.loads((folder / "manifest.json").read_text())["timings"].values())
        rows.append({key: round(metrics[key], 4) for key in KEYS if key in metrics} | {"seconds": round(seconds, 1)})
        print(f"{folder.name}: {rows[-1]}", flush=True)
    mean = {key: round(statistics.mean(row[key] for row in rows), 4) for key in rows[0]}
    args.out.unlink(missing_ok=True)
    write_bytes(args.out, (json.dumps({"settings": args.settings, "mean": mean, "people": rows}, indent=1)
                           + "\n").encode())
    print(json.dumps(mean, indent=1))


if __name__ == "__main__":
    main()
