"""``unlearnkit verify``: does a certificate hold, and what does it say?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnkit.cli.common import FILE
from unlearnkit.cli.output import json_option, print_json

if TYPE_CHECKING:
    from unlearnkit.certificates.checking import Checked


@click.command()
@click.argument("certificate", type=FILE)
@click.option("--checkpoint", type=FILE, metavar="FILE",
              help="Edited checkpoint, or edit, that the certificate must be about.")
@click.option("--public-key", type=FILE, metavar="FILE",
              help="The issuer's public key (PEM), from a source that you trust; any other signature is refused.")
@json_option
def command(certificate: Path, checkpoint: Path | None, public_key: Path | None, as_json: bool) -> None:
    """Check a certificate of 'unlearnkit certify', offline, and say what it attests and what not.

    \b
    unlearnkit verify certificate.json --public-key key.pem.pub --checkpoint edited.pkl

    Exit code 1: refused, with a line for each reason. Without --public-key the signature is checked, but nobody knows
    whose it is.
    """
    from unlearnkit.certificates.account import account
    from unlearnkit.certificates.checking import check

    checked = check(certificate, checkpoint, public_key)
    if as_json:
        print_json("verify", _document(checked))
    elif not checked.reasons:
        click.echo(account(checked), nl=False)
    for reason in checked.reasons:
        click.echo(f"refused: {' '.join(reason.split())}", err=True)
    if checked.reasons:
        click.get_current_context().exit(1)


def _document(checked: Checked) -> dict[str, Any]:
    from unlearnkit.certificates.schema import to_plain

    return {
        "holds": not checked.reasons, "reasons": list(checked.reasons), "trusted": checked.trusted,
        "fingerprint": checked.fingerprint, "compared": checked.compared,
        "statement": None if checked.statement is None else to_plain(checked.statement),
    }
