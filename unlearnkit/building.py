"""Build the native kernels with plain compiler calls, into a library named after its sources.

Used by ``pip install`` (setup.py), where only the standard library is available, and by ``unlearnkit build-ext``; never
at import or during a forward pass. The library has a plain C ABI and needs no headers of torch or Python, so it works
with every version of both; its file name includes a hash of the sources, so that a stale build is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from unlearnkit.errors import BuildError

__all__ = ["build", "cache_folder", "compiler", "library_name", "source_folder", "source_hash"]

DEVICES = ("cpu", "cuda")
X86 = ("x86_64", "amd64", "i386", "i686")
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi")
# The kernels are compiled once for each; the library selects one by the processor's features at run time.
PROCESSORS = {
    "avx512": ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"),
    "avx2": ("-mavx2", "-mfma"),
}


def source_folder() -> Path | None:
    """The folder of the sources, in the installed package or the repository; None if they are in neither."""
    here = Path(__file__).resolve().parent
    for folder in (here / "ops" / "sources", here.parent / "extensions"):
        if (folder / "include" / "unlearnkit_ops.h").is_file():
            return folder
    return None


def source_hash(device: str, folder: Path) -> str:
    """A hash, 16 hexadecimal digits, of all sources of a device's library."""
    digest = hashlib.sha256()
    for path in sorted([*(folder / "include").glob("*"), *(folder / device).glob("*.*")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def library_name(device: str, folder: Path | None = None) -> str:
    """File name of the library built from these sources."""
    folder = folder or _sources()
    return f"unlearnkit_{device}-{source_hash(device, folder)}.so"


def cache_folder() -> Path:
    """Where ``unlearnkit build-ext`` puts libraries: ``$XDG_CACHE_HOME/unlearnkit``, else ``~/.cache/unlearnkit``.

    :raises BuildError: if neither is set and the user has no home directory, as in some containers.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unlearnkit"
    except RuntimeError:
        raise BuildError("this user has no home directory; set XDG_CACHE_HOME (or HOME) to a folder for compiled "
                         "kernels") from None


def compiler(device: str) -> str | None:
    """The compiler to use: ``$CXX`` or c++, g++, clang++; ``$NVCC`` or nvcc; None if there is none."""
    named = os.environ.get("CXX" if device == "cpu" else "NVCC")
    candidates = ("c++", "g++", "clang++") if device == "cpu" else ("nvcc", "/usr/local/cuda/bin/nvcc")
    return next((found for name in ((named,) if named else candidates) if (found := shutil.which(name))), None)


def build(device: str, target: Path, *, arch: str = "all-major", force: bool = False) -> Path:
    """Compile the library of ``cpu`` or ``cuda`` into the folder ``target`` and return its path.

    An existing build of the same sources is kept unless ``force``. Concurrent builds are serialised by a lock, and the
    file is created atomically.

    :param arch: nvcc's ``-arch``: ``all-major``, ``native`` (the GPU of this computer), ``sm_90``, ...
    :raises BuildError: without sources or compiler, or with the compiler's output if it fails.
    """
    if device not in DEVICES:
        raise BuildError(f"native kernels: got device {device!r}, expected one of {', '.join(DEVICES)}")
    folder, program = _sources(), compiler(device)
    if program is None:
        raise BuildError(f"no compiler for the {device} kernels was found; "
                         + ("install g++ or clang++, or set CXX" if device == "cpu" else "install nvcc, or set NVCC"))
    target.mkdir(parents=True, exist_ok=True)
    library = target / library_name(device, folder)
    with _exclusive(target / ".build.lock"), tempfile.TemporaryDirectory(dir=target) as work:
        if library.is_file() and not force:
            return library
        output = Path(work) / library.name
        make = _build_cpu if device == "cpu" else _build_cuda
        make(program, folder, Path(work), output, arch)
        os.replace(output, library)
    return library


def _build_cpu(program: str, folder: Path, work: Path, out: Path, arch: str) -> None:
    sources = folder / "cpu"
    shared = [*FLAGS, "-I", str(folder / "include"), "-I", str(sources)]
    on_x86 = platform.machine().lower() in X86
    shared += ["-DUL_X86"] if on_x86 else []
    units: dict[str, list[str]] = {path.stem: [str(path)] for path in sources.glob("*.cpp") if path.stem != "kernels"}
    for name, flags in {"baseline": (), **(PROCESSORS if on_x86 else {})}.items():
        units[name] = [str(sources / "kernels.cpp"), f"-DUL_ISA={name}", *flags]
    objects = [str(work / f"{name}.o") for name in units]
    _compile([[program, *shared, "-c", *what, "-o", into] for what, into in zip(units.values(), objects, strict=True)])
    _call([program, "-shared", *objects, "-o", str(out), "-pthread", *(["-ldl"] if sys.platform == "linux" else [])])


def _build_cuda(program: str, folder: Path, work: Path, out: Path, arch: str) -> None:
    # Position-independent code, only the C ABI exported, and the CUDA runtime linked statically.
    shared = ["-O3", "-std=c++17", "-Xcompiler", "-fPIC,-fvisibility=hidden", "-cudart", "static", f"-arch={arch}",
              "-I", str(folder / "include")]
    sources = sorted((folder / "cuda").glob("*.cu"))
    objects = [str(work / f"{path.stem}.o") for path in sources]
    _compile([[program, *shared, "-c", str(path), "-o", into] for path, into in zip(sources, objects, strict=True)])
    _call([program, *shared, "-shared", *objects, "-o", str(out)])


def _compile(commands: list[list[str]]) -> None:
    with ThreadPoolExecutor(min(len(commands), os.cpu_count() or 1, 4)) as pool:
        list(pool.map(_call, commands))


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        output = (done.stderr or done.stdout)[-2000:]
        raise BuildError(
            f"{command[0]} ended with {done.returncode}; unlearnkit works without the native kernels, more slowly; to "
            f"get them, fix the compiler or choose another with CXX (NVCC). Its output: {output}"
        )


def _sources() -> Path:
    folder = source_folder()
    if folder is None:
        raise BuildError("the sources of the native kernels are not installed; install unlearnkit from its repository")
    return folder


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """An operating-system file lock, released even after a crash."""
    with open(path, "w") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
