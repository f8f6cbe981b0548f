"""Inside one case: it computes as the settings say that its result records, and a method that cannot is a result."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch

from unlearnkit.bench.cases import Case, cases
from unlearnkit.bench.profiles import QUICK, Profile
from unlearnkit.bench.running import run_case
from unlearnkit.config import RequestSettings
from unlearnkit.engine import precision
from unlearnkit.interfaces import Job
from unlearnkit.ops import native
from unlearnkit.plugins import Registry

TOY = Profile(
    name="toy", generators=("outside-toy",), scenarios=("random",), identities={}, seeds=1, steps={"outside-toy": 2},
    samples=4, settings={
        "metrics.names": ["identity"], "identity.name": "demo-identity", "judge.name": "demo-judge",
        "perceptual.name": "demo-trunk", "request.bystanders": [],
    },
)


def toy(**overrides: Any) -> Case:
    (case,) = cases(attrs.evolve(TOY, overrides=overrides), ("outside-nudge",))
    return case


def is_tf32() -> bool:
    """Whether CUDA would multiply with TensorFloat-32 now; torch calls the switch otherwise since 2.9."""
    return all(getattr(owner, name) == value for owner, name, value in precision._switches(tf32=True))


def inside(case: Case, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a method sees while the case runs."""
    seen: dict[str, Any] = {}

    def unlearn(self: Any, job: Job) -> None:
        seen.update(job=job, threads=torch.get_num_threads(), tf32=is_tf32())

    monkeypatch.setattr(registry.component_class("method", "outside-nudge"), "unlearn", unlearn)
    seen["result"], _ = run_case(case)
    return seen


def test_threads_precision_and_recorded_steps_are_those_of_the_settings(
    outside: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads(), is_tf32()
    seen = inside(toy(threads=3, precision="bf16", cuda_graph=True), outside, monkeypatch)
    assert seen["result"].error is None
    assert seen["threads"] == 3 and seen["result"].hardware.threads == 3
    assert seen["tf32"] and seen["job"].cuda_graph is True
    reduced = getattr(seen["job"].measures, "bfloat16", False)
    assert reduced == (precision.bfloat16_instructions() is not None)  # a processor without them stays with float32
    recorded = seen["result"].settings
    assert (recorded["threads"], recorded["precision"], recorded["cuda_graph"]) == (3, "bf16", True)
    assert (torch.get_num_threads(), is_tf32()) == before
    other = inside(toy(threads=1), outside, monkeypatch)
    assert other["threads"] == 1 and other["tf32"] == before[1] and other["job"].cuda_graph is False


@pytest.mark.parametrize("memory", ["keep", "system"])
def test_memory_is_that_of_the_settings(memory: str, outside: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr("unlearnkit.engine.machine.keep_memory", lambda: kept.append(True) or "keep")
    assert inside(toy(memory=memory), outside, monkeypatch)["result"].settings["memory"] == memory
    assert bool(kept) == (memory == "keep")


def test_a_result_says_which_kernels_computed(outside: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    made = inside(toy(), outside, monkeypatch)["result"]
    assert (made.hardware.kernels, made.hardware.instructions) == native.in_use("cpu")
    with native.off():
        without = run_case(toy())[0].hardware
    assert without.kernels == "PyTorch (switched off)" and without.instructions


def test_the_unlearning_alone_is_around(outside: Registry) -> None:
    calls: list[str] = []

    def around(work: Any) -> None:
        calls.append("before")
        work()
        calls.append("after")

    made, pictures = run_case(toy(), around)
    assert made.error is None and calls == ["before", "after"] and made.seconds["unlearn"] >= 0
    assert made.metrics["erased_before"] == pytest.approx(1, abs=1e-3) and made.embedding is not None
    assert set(pictures) == {"before", "target", "after"} and made.peak_bytes


def test_a_method_that_cannot_is_a_result_and_a_bug_is_raised(
    outside: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, pictures = run_case(toy(**{"target.name": "nobody"}))
    assert made.error is not None and "no target 'nobody'" in made.error and not made.metrics and not pictures

    def unlearn(self: Any, job: Job) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(outside.component_class("method", "outside-nudge"), "unlearn", unlearn)
    with pytest.raises(ZeroDivisionError):
        run_case(toy())


def test_the_request_of_a_case_is_complete() -> None:
    request = cases(QUICK, ("guide",))[0].settings().request
    assert isinstance(request, RequestSettings) and len(request.images) == 3 and len(request.bystanders) == 6
