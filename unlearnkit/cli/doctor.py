"""``unlearnkit doctor``: what this computer has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import click

_PACKAGES = (
    "unlearnkit", "torch", "torchvision", "numpy", "lpips", "facenet-pytorch", "pytorch-fid", "safetensors",
)
# What, file, and the folder below the torch cache where the package that owns the file looks for it.
_WEIGHTS = (
    ("lpips trunk (AlexNet)", "alexnet-owt-7be5be79.pth", "hub/checkpoints"),
    ("lpips trunk (VGG-16)", "vgg16-397923af.pth", "hub/checkpoints"),
    ("FID (Inception-v3)", "pt_inception-2015-12-05-6726825d.pth", "hub/checkpoints"),
    ("facenet (VGGFace2)", "20180402-114759-vggface2.pt", "checkpoints"),
)


@click.command()
def command() -> None:
    """Say what is installed, what was found, and what to do about the rest."""
    from rich.markup import escape

    from unlearnkit.cli.common import console, table

    rows = table("what", "found")
    for lines in (_versions(), _machine(), _kernels(), _weights(), _plugins(), _folder()):
        for what, found in lines:
            rows.add_row(escape(what), escape(found))
    console().print(rows)


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in _PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, f"not installed; pip install {package}"


def _machine() -> Iterator[tuple[str, str]]:
    yield "CPU cores", str(os.cpu_count())
    try:
        import torch

        from unlearnkit.engine.machine import usable_threads

        yield "torch threads", f"{usable_threads()} (--set threads=N or OMP_NUM_THREADS changes it)"
        if not torch.cuda.is_available():
            yield "CUDA devices", "none; everything runs on the CPU"
        else:
            for index in range(torch.cuda.device_count()):
                properties = torch.cuda.get_device_properties(index)
                yield f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    except (ImportError, OSError, RuntimeError) as error:
        yield "torch", f"does not work: {' '.join(str(error).split())}"
    try:
        import psutil

        memory = psutil.virtual_memory()
        yield "memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    except ImportError:
        yield "memory", "unknown; pip install psutil"


def _kernels() -> Iterator[tuple[str, str]]:
    try:
        from unlearnkit.ops import native
    except (ImportError, OSError, RuntimeError) as error:
        yield "native kernels", f"unknown: {' '.join(str(error).split())}"
        return
    for device, found in native.status():
        yield f"native kernels ({device})", " ".join(found.split())


def _weights() -> Iterator[tuple[str, str]]:
    """Files that are downloaded once by the packages that own them; everything bundled works without."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser()
    for what, file, folder in _WEIGHTS:
        path = home / folder / file
        advice = f"not found (optional): downloaded at first use, or put it there yourself: {path}"
        yield what, str(path) if path.is_file() else advice
    try:
        files = importlib.metadata.files("facenet-pytorch") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    networks = [file for file in files if file.name in ("pnet.pt", "rnet.pt", "onet.pt")]
    complete = len(networks) == 3 and all(Path(str(file.locate())).is_file() for file in networks)
    yield "MTCNN face detector", "found" if complete else "not found; pip install 'facenet-pytorch<2.6'"


def _plugins() -> Iterator[tuple[str, str]]:
    from unlearnkit.errors import PluginError
    from unlearnkit.plugins import registry

    try:
        found = registry()
    except PluginError as error:  # UNLEARNKIT_STRICT_PLUGINS is set
        yield "plugins", str(error)
        return
    for plugin in found.plugins:
        state = plugin.error or f"works, registers {len(plugin.registrations)}"
        label = "" if plugin.error is None or plugin.disabled else "BROKEN: "
        yield f"plugin {plugin.name}", f"{label}{state} ({plugin.distribution} {plugin.version})"
    for sentence in found.duplicates():
        yield "problem", sentence


def _folder() -> Iterator[tuple[str, str]]:
    import tempfile

    try:
        here = Path.cwd()
        with tempfile.TemporaryFile(dir=here):
            yield "working folder", f"{here} can be written"
    except OSError as error:
        yield "working folder", f"cannot be written ({error.strerror}); give --out DIR"
