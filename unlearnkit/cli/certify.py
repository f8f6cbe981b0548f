"""``unlearnkit certify``: a signed account of what a run did and found."""

from __future__ import annotations

from pathlib import Path

import click

from unlearnkit.cli.common import FILE, OUT, check_new_file, say_next


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--key", type=FILE, metavar="FILE",
              help="Private key to sign with: PEM, Ed25519 or ECDSA P-256; a passphrase goes into "
                   "UNLEARNKIT_KEY_PASSPHRASE.")
@click.option("--checkpoint", type=FILE, metavar="FILE",
              help="Edited checkpoint, as 'unlearnkit apply' wrote it; the certificate is then about it as well.")
@click.option("--expires", type=click.IntRange(1, 3650), default=180, show_default=True, metavar="DAYS",
              help="How long the certificate is valid.")
@click.option("--out", type=OUT, metavar="FILE", help="Where to write the certificate.")
@click.option("--new-key", type=OUT, metavar="FILE",
              help="Only make a new key: FILE, which only you can read, and FILE.pub, to give to others.")
def command(
    run: Path | None, key: Path | None, checkpoint: Path | None, expires: int, out: Path | None, new_key: Path | None,
) -> None:
    """Sign what a finished run did and found, without a trace of the person.

    \b
    unlearnkit certify --new-key key.pem
    unlearnkit certify runs/mine --key key.pem --out certificate.json
    unlearnkit certify runs/mine --key key.pem --checkpoint edited.pkl --out certificate.json

    A bad outcome is certified as truthfully as a good one. Audit the run first: a certificate without attacks says
    so. It names no person, path or picture; see docs/certificate.md.
    """
    if new_key is not None:
        if any(value is not None for value in (run, key, checkpoint, out)):
            raise click.UsageError("--new-key stands alone: it only makes a key", click.get_current_context())
        _make_key(new_key)
        return
    missing = [name for name, value in (("RUN", run), ("--key", key), ("--out", out)) if value is None]
    if run is None or key is None or out is None:
        raise click.UsageError(f"Missing {', '.join(missing)}", click.get_current_context())
    check_new_file(out)
    from unlearnkit.certificates.issue import issue

    statement = issue(run, key, out, checkpoint, expires)
    found = statement.predicate
    click.echo(f"verdict: {found.verdict.answer}")
    click.echo(f"about: {', '.join(one.name for one in statement.subject)}; valid until {found.expires}")
    click.echo(f"wrote {out}")
    if not found.audits:
        click.echo(f"note: no attack was tried on this run, and the certificate says so; first: unlearnkit audit {run}",
                   err=True)
    say_next("unlearnkit", "verify", out, note="what it says, as its readers see it")


def _make_key(path: Path) -> None:
    check_new_file(path, "--new-key")
    from unlearnkit.certificates.envelope import new_key

    public, fingerprint = new_key(path)
    click.echo(f"wrote {path}: keep it to yourself, and a copy in a safe place")
    click.echo(f"wrote {public}: give it to whoever reads your certificates")
    click.echo(f"fingerprint: SHA256:{fingerprint}")
