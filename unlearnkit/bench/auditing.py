"""The recovery attacks of the audit, with their quick budgets, on a case in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.attacks.identification import Identified
from unlearnkit.attacks.running import run_attacks
from unlearnkit.interfaces import Evidence, IdentityEncoder
from unlearnkit.plugins import registry
from unlearnkit.results import AttackResult

__all__ = ["audit"]


def audit(
    evidence: Evidence, targets: Tensor, identity: IdentityEncoder, device: torch.device
) -> dict[str, AttackResult]:
    """What every registered attack finds of the first person; ``identity`` is the encoder that the attacker may use."""
    attacks = {}
    for name in registry().names("attack"):
        cls: Any = registry().component_class("attack", name)
        attacks[name] = cls(**cls.quick)
        attacks[name].prepare(device)
    person = evidence.request.people[0].name
    found = run_attacks(evidence, attacks, targets=targets, identity=identity)
    return {
        result.attack: AttackResult(
            unit=result.unit, budget=result.budget,
            numbers={
                "best": result.edited.points[-1][1], "control_best": result.control.points[-1][1],
                "share_recognised": result.edited.share, "effort_to_recognise": _float(result.effort_to_recognise),
                "control_effort": _float(result.control_effort), "speedup": result.speedup,
                **_place(result.identified),
            },
            curve=tuple((float(effort), float(best)) for effort, best in result.edited.points),
        )
        for result in found if result.person == person
    }


def _place(found: Identified | None) -> dict[str, float | None]:
    return {} if found is None else {"place": float(found.rank), "candidates": float(found.candidates)}


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)
