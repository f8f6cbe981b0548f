"""Latent files of other programs, and files that only look like one."""

import io
import os

import numpy as np
import pytest
import torch

from unlearnkit.errors import ConfigError
from unlearnkit.people.latent_files import load_latent
from unlearnkit.testing.world import ToyGenerator

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def read(path):
    return load_latent(path, ToyGenerator()).tolist()


@pytest.mark.parametrize("value", [torch.from_numpy(W), torch.from_numpy(W)[None], {"w": torch.from_numpy(W)},
                                   {"latent": torch.from_numpy(W).double()}, [torch.from_numpy(W)]])
def test_a_file_of_torch_is_read(tmp_path, value):
    torch.save(value, tmp_path / "w.pt")
    assert read(tmp_path / "w.pt") == W.tolist()


def test_what_projectors_write_is_read(tmp_path):
    np.savez(tmp_path / "projected_w.npz", w=W[None])
    assert read(tmp_path / "projected_w.npz") == W.tolist()
    np.savez_compressed(tmp_path / "more.npz", other=W, w=W[None])
    assert read(tmp_path / "more.npz") == W.tolist()


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 3), (2, 3), (1, 2, 3), (1, 1, 2, 3)])
def test_leading_ones_do_not_matter(tmp_path, shape):
    np.save(tmp_path / "w.npy", np.ones(shape, np.float64))
    assert read(tmp_path / "w.npy") == np.ones((2, 3)).tolist()


def test_the_order_of_memory_does_not_matter(tmp_path):
    np.save(tmp_path / "w.npy", np.asfortranarray(W))
    assert read(tmp_path / "w.npy") == W.tolist()


def huge():
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 512)})
    return data.getvalue()


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "safetensors"])
@pytest.mark.parametrize("data", [b"", huge(), b"PK\x03\x04", b"\x93NUMPY", b"cos\nsystem\n(S'true'\ntR."])
def test_damaged_files_are_one_line(tmp_path, suffix, data):
    (tmp_path / f"w.{suffix}").write_bytes(data)
    with pytest.raises((ConfigError, ValueError)) as failed:
        read(tmp_path / f"w.{suffix}")
    assert type(failed.value).__module__ == "unlearnkit.errors" and "\n" not in str(failed.value)


def test_pipes_are_refused_at_once(tmp_path):
    for suffix in ("npy", "npz", "pt"):
        os.mkfifo(tmp_path / f"w.{suffix}")
        with pytest.raises(ConfigError, match="pipe"):
            read(tmp_path / f"w.{suffix}")


def test_code_in_a_file_never_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "made"),))

    torch.save({"w": Evil()}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="holds no latent"):
        read(tmp_path / "w.pt")
    assert not (tmp_path / "made").exists()
