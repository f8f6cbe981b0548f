"""What became of the people who must stay, in words: by identity and by their pictures, the worst one named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearnkit.numbers import Levels

__all__ = ["bystanders_sentence"]

Metrics = Mapping[str, float | None]

ANOTHER_PICTURE = 0.5
"""A picture that moved this far, in distances of two strangers, looks like another picture."""


def bystanders_sentence(metrics: Metrics, scale: Levels, names: Sequence[str] = ()) -> tuple[str, str | None]:
    """Tone and sentence; good and None without bystanders. Without a border nobody can say who became somebody else."""
    mean, worst = metrics.get("bystanders_change"), metrics.get("bystanders_worst_change")
    change = mean if worst is None else worst
    if change is None:
        return "good", None
    who = _name(metrics.get("bystanders_worst_number"), names)
    numbers = f"similarity before to after {change:.2f}" + (f", {who}" if who else "")
    if worst is not None and mean is not None and (metrics.get("n_bystanders") or 0) > 1:
        numbers = f"{numbers}, is the lowest; {mean:.2f} on average"
    tone, text = _identity(metrics, change, scale, numbers)
    moved = _looks(metrics, names)
    if moved:
        return ("mixed" if tone == "good" else tone), f"{text} {moved}"
    return tone, text


def _identity(metrics: Metrics, change: float, scale: Levels, numbers: str) -> tuple[str, str]:
    total, changed = metrics.get("n_bystanders") or 0, metrics.get("n_bystanders_changed")
    if scale.border is None:
        return "unknown", f"Whether bystanders stay who they are is unknown without levels of the judge ({numbers})."
    if change >= (0.9 if scale.same is None else min(0.95, scale.same)):
        return "good", f"Every bystander stays who they are ({numbers})."
    if change >= scale.border:
        return "mixed", f"Bystanders stay who they are, but some change a little ({numbers})."
    if changed and total > 1:
        verb = "turns" if changed == 1 else "turn"
        return "bad", f"{changed:.0f} of {total:.0f} bystanders {verb} into somebody else ({numbers})."
    return "bad", f"A bystander turns into somebody else ({numbers})."


def _looks(metrics: Metrics, names: Sequence[str]) -> str | None:
    """Said only of a picture that clearly looks different: the judge of identity does not see everything."""
    moved, apart = metrics.get("bystanders_distance_worst"), metrics.get("strangers_distance")
    if moved is None or not apart or moved < ANOTHER_PICTURE * apart:
        return None
    who = _name(metrics.get("bystanders_distance_worst_number"), names) or "one of them"
    return (f"The picture of {who} looks different (perceptual distance {moved:.2f}; two different people have "
            f"{apart:.2f}).")


def _name(number: float | None, names: Sequence[str]) -> str:
    if number is None:
        return ""
    return names[round(number) - 1] if 1 <= round(number) <= len(names) else f"no. {number:.0f}"
