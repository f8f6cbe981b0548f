"""A certificate tells what the run found and nothing of the person; what is wrong with one is refused, in a line."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unlearnkit.certificates.account import account
from unlearnkit.certificates.checking import check
from unlearnkit.certificates.collect import check_files, collect
from unlearnkit.certificates.envelope import PASSPHRASE, new_key, public_pem, read_private, seal
from unlearnkit.certificates.issue import issue
from unlearnkit.certificates.json_schema import FILE, json_schema
from unlearnkit.certificates.schema import CHECKPOINT, PREDICATE, CertificateError, Statement, from_plain, to_plain
from unlearnkit.edits.file import apply_edit
from unlearnkit.errors import ConfigError, EditError, RunError
from unlearnkit.files.plain import json_bytes
from unlearnkit.runs import Run

MakeRun = Callable[..., Path]
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "key.pem")
    return tmp_path / "key.pem"


@pytest.fixture
def certificate(make_run: MakeRun, key: Path, tmp_path: Path) -> Path:
    issue(make_run(tmp_path / "run"), key, tmp_path / "certificate.json")
    return tmp_path / "certificate.json"


def payload(certificate: Path) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(certificate.read_bytes())["payload"]))


def refusal(certificate: Path, **how: Any) -> str:
    reasons = check(certificate, **how).reasons
    assert len(reasons) == 1 and "\n" not in reasons[0], reasons
    return reasons[0]


def signed(statement: Statement | dict[str, Any], key: Path, out: Path) -> Path:
    """Anything at all, signed with a real key."""
    if isinstance(statement, Statement):
        out.write_bytes(seal(statement, read_private(key)))
        return out
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    from unlearnkit.certificates.envelope import PAYLOAD, _ours

    private = read_private(key)
    envelope = Envelope(json.dumps(statement).encode(), PAYLOAD, {})
    envelope.sign(CryptoSigner(private, _ours(private.public_key())))
    out.write_bytes(json_bytes(envelope.to_dict()))
    return out


# ---------------------------------------------------------------- what it says

def test_it_says_what_was_found(certificate: Path, tmp_path: Path) -> None:
    found = payload(certificate)["predicate"]
    assert found["people"] == 3 and found["method"]["name"] == "guide" and found["method"]["steps"] == 150
    assert found["method"]["settings"]["target.distance"] == "30.0"
    erased, others = found["pictures"]
    assert (others["recognised_after"], others["judged"], others["best_after"]) == (0, 3, 0.19)
    assert (erased["recognised_before"], erased["recognised_after"]) == (3, 0)
    assert found["judge"]["border"] == 0.47 and found["judge"]["source"] == "the judge's own"
    assert [one["recognised"] for one in found["earlier"]] == [False, True]
    assert found["model"]["earlier_edits"] == ["11" * 32, "22" * 32]
    worst, other = found["attacks"]
    assert (worst["attack"], worst["person"], worst["effort"], worst["tries"]) == ("reinversion-w", "person 2", 11, 2)
    assert (other["effort"], other["holds"]) == (None, ["the edited checkpoint", "a photo"])
    assert "comes back after 11 optimiser steps" in found["verdict"]["answer"] and found["verdict"]["tone"] == "bad"
    assert any("earlier person 2, erased earlier, came back" in text for text in found["verdict"]["sentences"])


def test_the_account_is_a_page_of_it(certificate: Path, key: Path) -> None:
    text = account(check(certificate))
    for words in ("whose it is unknown", "0 of 3 other pictures recognised", "earlier person 2 is recognised",
                  "What is NOT claimed", "not declared", "the edited checkpoint, a photo", "No file was compared"):
        assert words in " ".join(text.split()), words
    assert len(text.splitlines()) < 90
    assert "which is the key you gave" in account(check(certificate, public_key=key.with_name("key.pem.pub")))


def test_an_account_sends_nothing_to_the_terminal(certificate: Path, key: Path, tmp_path: Path) -> None:
    said = from_plain(payload(certificate))
    nasty = "\x1b[2JForgotten\u202e\r" * 200
    verdict = attrs.evolve(said.predicate.verdict, answer=nasty)
    out = signed(attrs.evolve(said, predicate=attrs.evolve(said.predicate, verdict=verdict)), key, tmp_path / "x")
    text = account(check(out))
    assert all(letter.isprintable() or letter == "\n" for letter in text) and len(text) < 20_000


def test_no_audit_and_no_other_pictures_are_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", audited=False)
    found = predicate(run)
    assert found.audits == 0 and "no audit was made" in " ".join(found.not_claimed)


def test_later_measurements_are_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "measured.json").write_text("{}")
    assert "later measurements agree: 1 made" in " ".join(predicate(run).not_claimed)


def test_an_audit_that_is_gone_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "audit.json").unlink()
    assert "1 of 1 are no longer there" in " ".join(predicate(run).not_claimed)


def test_the_schema_is_that_of_the_records() -> None:
    assert json.loads(FILE.read_bytes()) == json_schema(), "run: python -m unlearnkit.certificates.json_schema"
    assert json_schema()["$id"] == PREDICATE


def test_unknown_fields_are_ignored(certificate: Path, key: Path, tmp_path: Path) -> None:
    later = payload(certificate)
    later["predicate"]["colour"] = later["annotation"] = "blue"
    assert check(signed(later, key, tmp_path / "later.json")).reasons == ()


# ---------------------------------------------------------------- what it does not say

def predicate(folder: Path) -> Any:
    run = Run.open(folder)
    return collect(run, check_files(run), "PEM", NOW, 30)


def secrets(folder: Path) -> set[str]:
    """Everything in a run's files that could lead to a person: names, paths, hashes, exact numbers."""
    manifest, request = (folder / "manifest.json").read_text(), Run.open(folder).request
    chain = json.loads(manifest)["chain"]
    paths = [str(path) for path in (*request.pictures, *request.bystanders)] + [link["path"] for link in chain]
    texts = {*request.names, *paths, *(Path(path).stem for path in paths), *(link["people"][0] for link in chain)}
    texts |= set(re.findall(r"[0-9a-f]{64}", manifest)) | {(folder / "inputs.key").read_text().strip()}
    texts |= {repr(value) for value in json.loads((folder / "metrics.json").read_bytes()).values()
              if len(repr(value)) > 7}
    public = {json.loads(manifest)["edit"], json.loads(manifest)["base"]["sha256"], *(link["sha256"] for link in chain)}
    return texts - public


def test_no_file_of_the_run_can_be_found_in_it(certificate: Path, tmp_path: Path) -> None:
    text = json.dumps(payload(certificate), ensure_ascii=False)
    held = secrets(tmp_path / "run")
    assert len(held) > 25
    assert [secret for secret in held if secret.casefold() in text.casefold()] == []
    for file in (tmp_path / "run").rglob("*"):
        if file.suffix in (".safetensors", ".png"):  # no stretch of a picture or latent, in any spelling
            data = file.read_bytes()[-24:]
            assert all(spelt not in text for spelt in (data.hex(), base64.b64encode(data).decode(), repr(data)))


NAME = st.text(min_size=1, max_size=40).filter(
    lambda name: name.strip() and name.isprintable() and not re.search(r"[/\\]", name)
    and name.encode("utf-8", "ignore").decode() == name)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAME, min_size=7, max_size=7, unique_by=str.casefold), st.integers(4, 200))
def test_it_is_the_same_whoever_they_are(
    make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory, names: list[str], seed: int
) -> None:
    """Other names, photos, latents, seeds, keys, paths: bit for bit the same certificate."""
    folder = tmp_path_factory.mktemp("who")
    usual = predicate(make_run(folder / "usual"))
    others = predicate(make_run(folder / "others", names[:3], names[3:5], names[5:], seed))
    assert others == usual


def test_text_of_plugins_that_names_somebody_is_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    audit = json.loads((run / "audit.json").read_bytes())
    holds = ["the photo of Lovelace", "/home/me/x.png", "ab" * 32, "the edit"]
    audit["results"] = [{**audit["results"][0], "holds": holds, "attack": "Ada Lovelace", "unit": "tries on Ada"}]
    (run / "audit.json").write_text(json.dumps(audit))
    with pytest.raises(RunError, match="is not the file that its audit wrote"):
        predicate(run)
    with Run.open(run) as writable:
        writable.write_json("manifest.json", {**writable.manifest, "audits": {}})
    found = predicate(run)
    assert found.attacks[0].holds == ("the edit",) and found.attacks[0].attack == "unknown"
    assert "Ada" not in json.dumps(attrs.asdict(found))


# ---------------------------------------------------------------- which runs and files

def test_a_run_that_is_not_what_it_was_is_refused(make_run: MakeRun, key: Path, tmp_path: Path) -> None:
    for name in ("edit.safetensors", "latents.safetensors", "metrics.json", "audit.json"):
        run = make_run(tmp_path / name.replace(".", "-"))
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(RunError, match=f"{name}.* is not the file"):
            issue(run, key, tmp_path / "x")
    with pytest.raises(RunError, match="is not finished"):
        issue(make_run(tmp_path / "half", status="interrupted"), key, tmp_path / "x")
    run = make_run(tmp_path / "other-base")
    with Run.open(run) as writable:
        writable.update_manifest(base={"sha256": "ab" * 32})
    with pytest.raises(EditError, match="stands on another base"):
        issue(run, key, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_deleted_latents_are_fine(make_run: MakeRun, key: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "latents.safetensors").unlink()
    issue(run, key, tmp_path / "x")


def test_the_checkpoint_is_made_again_and_compared(make_run: MakeRun, key: Path, base: Path, tmp_path: Path) -> None:
    run, edited, out = make_run(tmp_path / "run"), tmp_path / "ada-removed.safetensors", tmp_path / "c.json"
    apply_edit(run / "edit.safetensors", base, edited)
    with pytest.raises(EditError, match="is not what 'unlearnkit apply' makes"):
        issue(run, key, out, checkpoint=base)
    issue(run, key, out, checkpoint=edited)
    assert check(out, edited).compared == CHECKPOINT and check(out, run / "edit.safetensors").compared is not None
    assert "bit for bit" in account(check(out, edited)) and "ada" not in json.dumps(payload(out)).casefold()
    assert "is another file than those it is about" in refusal(out, checkpoint=base)
    base.rename(tmp_path / "gone")
    with pytest.raises(RunError, match="put it back"):
        issue(run, key, tmp_path / "d.json", checkpoint=edited)


# ---------------------------------------------------------------- refusals

def test_a_changed_byte_is_refused(certificate: Path, key: Path) -> None:
    data, said = certificate.read_bytes(), payload(certificate)
    public = key.with_name("key.pem.pub")
    for place in [*range(0, len(data), 97), *range(len(data) - 260, len(data) - 1)]:
        certificate.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1:])
        for how in ({}, {"public_key": public}):
            found = check(certificate, **how)
            # White space between fields is nobody's statement.
            assert found.reasons or (to_plain(found.statement) == said and data[place:place + 1].isspace())


def test_another_key(certificate: Path, key: Path, tmp_path: Path) -> None:
    """A stranger signs the same statement, or a better one: it is intact, and nobody's."""
    new_key(tmp_path / "stranger.pem")
    said, stranger = from_plain(payload(certificate)), read_private(tmp_path / "stranger.pem")
    mine = key.with_name("key.pem.pub")
    swapped = signed(said, tmp_path / "stranger.pem", tmp_path / "swapped.json")
    assert "changed after it was signed" in refusal(swapped)
    assert "signed by another key" in refusal(swapped, public_key=mine)
    own = attrs.evolve(said, predicate=attrs.evolve(said.predicate, public_key=public_pem(stranger)))
    resigned = signed(own, tmp_path / "stranger.pem", tmp_path / "resigned.json")
    assert check(resigned).reasons == () and not check(resigned).trusted
    assert "signed by another key" in refusal(resigned, public_key=mine)
    # With my key's name on the stranger's signature.
    envelope = json.loads(resigned.read_bytes())
    envelope["signatures"][0]["keyid"] = check(certificate).fingerprint
    resigned.write_text(json.dumps(envelope))
    assert "changed after it was signed" in refusal(resigned, public_key=mine)


def test_time(certificate: Path) -> None:
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    assert check(certificate, now=now + 179 * day).reasons == ()
    assert "expired on" in refusal(certificate, now=now + 181 * day)
    assert "in the future" in refusal(certificate, now=now - day)


def change(path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    def apply(said: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        table: Any = said
        for part in parents:
            table = table[int(part)] if part.isdigit() else table[part]
        table[last] = value

    return apply


@pytest.mark.parametrize(("changes", "words"), [
    (change("predicateType", PREDICATE[:-1] + "7"), "its version is 'v7', and this unlearnkit reads 'v1'"),
    (change("predicateType", "https://slsa.dev/provenance/v1"), "no certificate of erasure"),
    (change("predicateType", None), "no certificate of erasure"),
    (change("_type", "x"), "no in-toto statement"),
    (change("subject", []), "malformed"),
    (change("subject.0.digest", {"sha256": "zz"}), "64 hexadecimal"),
    (change("subject.0.name", "ada.pkl"), "malformed"),
    (change("predicate", None), "malformed"),
    (change("predicate.people", "3"), "expected int"),
    (change("predicate.people", True), "expected int"),
    (change("predicate.judge.border", "high"), "malformed"),
    (change("predicate.expires", "tomorrow"), "malformed"),
    (change("predicate.expires", "2099-01-01T00:00:00"), "expected a time with its zone"),
    (change("predicate.public_key", "x" * 5000), "malformed"),
    (change("predicate.public_key", "no key"), "is no public key"),
    (change("predicate.attacks.0.tone", "splendid"), "malformed"),
])
def test_signed_nonsense(
    certificate: Path, key: Path, tmp_path: Path, changes: Callable[[dict[str, Any]], Any], words: str
) -> None:
    said = payload(certificate)
    changes(said)
    assert words in refusal(signed(said, key, tmp_path / "x.json"))


@pytest.mark.parametrize(("data", "words"), [
    (b"", "no JSON"), (b"\xff\xfe{}", "no JSON"), (b"[" * 200_000, "no JSON"), (b"{}", "no DSSE envelope"),
    (b"[1]", "no DSSE envelope"), (b" " * (1 << 20) + b"{}", "cannot be read: it has"),
    (b'{"payload": "", "payloadType": "x", "signatures": []}', "no DSSE envelope"),
    (b'{"payload": 1, "payloadType": "x", "signatures": [{"keyid": "", "sig": ""}]}', "no DSSE envelope"),
    (b'{"payload": "", "payloadType": "x", "signatures": [{"keyid": "", "sig": ""}]}', "its payload is 'x'"),
])
def test_files_that_are_none(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "x.json").write_bytes(data)
    assert words in refusal(tmp_path / "x.json")


@pytest.mark.parametrize("inside", [b"[" * 100_000, b"\xff", b"null", b'{"predicateType": ' * 9000])
def test_payloads_that_are_none(tmp_path: Path, inside: bytes) -> None:
    envelope = {"payload": base64.b64encode(inside).decode(), "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"keyid": "ab", "sig": "AAAA"}]}
    (tmp_path / "x.json").write_text(json.dumps(envelope))
    refusal(tmp_path / "x.json")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(tmp_path / "pipe")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]) | st.text(), inner),
).map(lambda value: json.dumps(value).encode()))
def test_anything_is_refused_in_a_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    refusal(tmp_path / "x.json")
    with pytest.raises(CertificateError):
        from_plain(data)


# ---------------------------------------------------------------- keys

def test_a_new_key_is_private_and_never_over_another_file(tmp_path: Path) -> None:
    public, fingerprint = new_key(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600 and len(fingerprint) == 64
    with pytest.raises(RunError if not public.exists() else ConfigError, match="never overwritten"):
        new_key(tmp_path / "key.pem")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(RunError, match="in the way"):
        new_key(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_other_keys(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECDSA P-256 with a passphrase, as openssl and cosign make them; other kinds are refused by name."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    path = tmp_path / "key.pem"
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open")))
        monkeypatch.setenv(PASSPHRASE, "open")
        with pytest.raises(ConfigError, match="of another kind: expected an Ed25519 or ECDSA P-256"):
            read_private(path)
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open")))
    issue(make_run(tmp_path / "run"), path, tmp_path / "c.json")
    (tmp_path / "pub").write_text(public_pem(key))
    assert check(tmp_path / "c.json", public_key=tmp_path / "pub").trusted
    monkeypatch.setenv(PASSPHRASE, "wrong")
    with pytest.raises(ConfigError, match=r"passphrase .* is wrong"):
        read_private(path)
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(ConfigError, match="protected by a passphrase"):
        read_private(path)
