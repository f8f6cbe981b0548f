"""``unlearnkit doctor``: what this computer has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from unlearnkit.cli.output import json_option, print_json, stdout_reserved

_PACKAGES = (
    "unlearnkit", "torch", "torchvision", "numpy", "lpips", "facenet-pytorch", "pytorch-fid", "pooch", "safetensors",
    "onnx", "dlib-bin",
)
_OPTIONAL = {"onnx": "sface", "dlib-bin": "dlib"}
"""Packages of the extra `photoreal`, and the identity encoders that need them."""


@attrs.frozen
class Check:
    """One line of the table: what was looked for, in which ``group``, and what was found.

    ``status`` is ``ok``, ``missing`` (something optional is not there) or ``broken``; ``values`` holds what ``found``
    says as numbers and names, for programs.
    """

    group: str
    name: str
    status: str
    found: str
    values: dict[str, Any] = attrs.Factory(dict)


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Report what is installed, what is missing, and how to get it."""
    with stdout_reserved(as_json):
        groups = (_versions(), _machine(), _kernels(), _weights(), _plugins(), _folder())
        checks = [check for group in groups for check in group]
    if as_json:
        print_json("doctor", {"checks": [attrs.asdict(check) for check in checks]})
        return
    from rich.markup import escape

    from unlearnkit.cli.common import console, table

    rows = table("what", "found")
    for check in checks:
        rows.add_row(escape(check.name), escape(check.found))
    console().print(rows)


def _versions() -> Iterator[Check]:
    system, machine, version = platform.system(), platform.machine(), platform.python_version()
    yield Check("packages", "python", "ok", f"{version} on {system} {machine}",
                {"version": version, "system": system, "machine": machine})
    for package in _PACKAGES:
        try:
            version = importlib.metadata.version(package)
            yield Check("packages", package, "ok", version, {"version": version})
        except importlib.metadata.PackageNotFoundError:
            why = f" (optional, for the identity encoder {_OPTIONAL[package]})" if package in _OPTIONAL else ""
            yield Check("packages", package, "missing", f"not installed{why}; pip install {package}")


def _machine() -> Iterator[Check]:
    yield Check("machine", "CPU cores", "ok", str(os.cpu_count()), {"count": os.cpu_count()})
    try:
        yield from _torch()
    except (ImportError, OSError, RuntimeError) as error:
        yield Check("machine", "torch", "broken", f"does not work: {' '.join(str(error).split())}")
    try:
        import psutil

        memory = psutil.virtual_memory()
        yield Check(
            "machine", "memory", "ok", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free",
            {"available_bytes": memory.available, "total_bytes": memory.total},
        )
    except ImportError:
        yield Check("machine", "memory", "missing", "unknown; pip install psutil")


def _torch() -> Iterator[Check]:
    from unlearnkit.waiting import choose_waiting

    waiting = choose_waiting()  # before torch is imported
    import torch

    from unlearnkit.engine.machine import usable_threads

    threads = usable_threads()
    yield Check("machine", "torch threads", "ok", f"{threads} (--set threads=N or OMP_NUM_THREADS changes it)",
                {"count": threads})
    yield Check("machine", "idle threads", "ok", waiting, {"waiting": waiting})
    if not torch.cuda.is_available():
        yield Check("machine", "CUDA devices", "missing", "none; everything runs on the CPU", {"count": 0})
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Check(
            "machine", f"cuda:{index}", "ok", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB",
            {"device": properties.name, "total_bytes": properties.total_memory},
        )


def _kernels() -> Iterator[Check]:
    from unlearnkit.errors import BuildError

    try:
        from unlearnkit.ops import native
    except (ImportError, OSError, RuntimeError) as error:
        yield Check("kernels", "native kernels", "broken", f"unknown: {' '.join(str(error).split())}")
        return
    for device, found in native.status():
        try:
            used = native.library(device)
        except BuildError:  # UNLEARNKIT_NATIVE demands a kernel that does not work
            yield Check("kernels", f"native kernels ({device})", "broken", " ".join(found.split()))
            continue
        status, values = ("ok", {"variant": used.variant, "path": str(used.path)}) if used else ("missing", {})
        yield Check("kernels", f"native kernels ({device})", status, " ".join(found.split()), values)
    yield _bfloat16()


def _bfloat16() -> Check:
    """What precision=bf16 would compute with on the CPU."""
    from unlearnkit.engine.precision import bfloat16_instructions

    found = bfloat16_instructions()
    if found is None:
        return Check("kernels", "bfloat16 (cpu)", "missing", "the processor has no AMX (amx_bf16); "
                     "precision=bf16 stays in float32")
    return Check("kernels", "bfloat16 (cpu)", "ok", f"{found}; used with --set precision=bf16", {"instructions": found})


def _weights() -> Iterator[Check]:
    """Files that others publish; everything bundled works without."""
    from unlearnkit.errors import CheckpointError, PluginError
    from unlearnkit.plugins import registry
    from unlearnkit.weights import check_file, place, present

    try:
        registered = registry().weights()
    except PluginError:  # UNLEARNKIT_STRICT_PLUGINS is set; the plugins' lines say what is wrong
        registered = {}
    for file in registered.values():
        path = present(file)
        values = {"name": file.name, "path": str(path or place(file)), "licence": file.licence, "size": file.size}
        if path is None:
            save = "" if file.fetchable else f" and save it as {place(file)}"
            yield Check("weights", file.purpose, "missing", f"not found (optional): {file.how_to_get}{save}", values)
            continue
        try:
            check_file(path, file)
            yield Check("weights", file.purpose, "ok", str(path), values)
        except (CheckpointError, OSError) as error:
            yield Check("weights", file.purpose, "broken", " ".join(str(error).split()), values)
    try:
        files = importlib.metadata.files("facenet-pytorch") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    networks = [file for file in files if file.name in ("pnet.pt", "rnet.pt", "onet.pt")]
    complete = len(networks) == 3 and all(Path(str(file.locate())).is_file() for file in networks)
    advice = "found" if complete else "not found; pip install 'facenet-pytorch<2.6'"
    yield Check("weights", "MTCNN face detector", "ok" if complete else "missing", advice)


def _plugins() -> Iterator[Check]:
    from unlearnkit.errors import PluginError
    from unlearnkit.plugins import registry

    try:
        found = registry()
    except PluginError as error:  # UNLEARNKIT_STRICT_PLUGINS is set
        yield Check("plugins", "plugins", "broken", str(error))
        return
    for plugin in found.plugins:
        status = "ok" if plugin.error is None else "missing" if plugin.disabled else "broken"
        label = "BROKEN: " if status == "broken" else ""
        state = plugin.error or f"works, registers {len(plugin.registrations)}"
        yield Check(
            "plugins", f"plugin {plugin.name}", status, f"{label}{state} ({plugin.distribution} {plugin.version})",
            {"plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version},
        )
    for sentence in found.duplicates():
        yield Check("plugins", "problem", "broken", sentence)


def _folder() -> Iterator[Check]:
    import tempfile

    try:
        here = Path.cwd()
        with tempfile.TemporaryFile(dir=here):
            yield Check("folder", "working folder", "ok", f"{here} can be written", {"path": str(here)})
    except OSError as error:
        yield Check("folder", "working folder", "broken", f"cannot be written ({error.strerror}); give --out DIR")
