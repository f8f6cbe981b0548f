"""Beside pyproject.toml: build the native kernels where there is a compiler, and install without where there is none.

No torch is needed to build; the library has a plain C interface (see unlearnkit/building.py).
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from unlearnkit import building  # noqa: E402 - imports nothing but Python's own library
from unlearnkit.errors import BuildError  # noqa: E402


class BuildNative(build_ext):
    """Calls unlearnkit's own builder. Every extension is optional: a failure is a warning and never ends an install."""

    def get_ext_filename(self, fullname):
        *package, name = fullname.split(".")
        return str(Path(*package, building.library_name(name.removeprefix("native_"))))

    def build_extension(self, ext):
        device = ext.name.rpartition("native_")[2]
        target = Path(self.get_ext_fullpath(ext.name)).parent
        try:
            building.build(device, target)
        except BuildError as error:
            from setuptools.errors import CompileError

            raise CompileError(str(error)) from error
        finally:
            (target / ".build.lock").unlink(missing_ok=True)


class BuildPython(build_py):
    """Takes the sources of the kernels along, for ``unlearnkit build-ext``."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "unlearnkit", "ops", "sources")
            shutil.copytree(ROOT / "extensions", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tests"))


class AnyPython(bdist_wheel):
    """The library serves every version of Python: only the platform is named."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


# CUDA takes a minute to compile, and is of no use where there is no GPU. An image for other computers asks for it by
# UNLEARNKIT_BUILD_CUDA=1; afterwards, 'unlearnkit build-ext --cuda' does the same.
has_gpu = bool(shutil.which("nvidia-smi") or os.environ.get("UNLEARNKIT_BUILD_CUDA"))
devices = ["cpu", *(["cuda"] if has_gpu and building.compiler("cuda") else [])]
setup(
    ext_modules=[Extension(f"unlearnkit.ops.native_{device}", sources=[], optional=True) for device in devices],
    cmdclass={"build_ext": BuildNative, "build_py": BuildPython, "bdist_wheel": AnyPython},
)
