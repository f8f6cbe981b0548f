"""Which part of a file is the generator: one step for everything that programs wrap around its weights.

Programs save the same network as a module, as a state dict, below one of many keys, in a tuple beside the
discriminator, or with `module.` before every name. `find_generator` looks through the root object of a pickle,
`unwrap_names` through the names of the tensors; layouts are recognised in what is left, by the generators' plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import attrs

from unlearnkit.checkpoints.modules import attributes_of, init_kwargs_of, is_module, only_child, size_of, walk
from unlearnkit.checkpoints.pickles import Budget, Record
from unlearnkit.checkpoints.records import Contents, Damaged, Hostile, Storage, shorten
from unlearnkit.checkpoints.standins import TENSORFLOW_NETWORK, RawTensor
from unlearnkit.checkpoints.torchdata import MAX_TENSORS, make_ref

Value = TypeVar("Value")

AVERAGED = (
    "G_ema", "g_ema", "params_ema", "generator_ema", "netG_ema", "G_ema_state_dict", "g_ema_state_dict",
    "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "Gs",
)
"""Where programs keep the moving average of a generator, which is the one to use."""
TRAINED = ("G", "g", "generator", "netG", "G_state_dict", "g_state_dict", "params", "gen")
GENERATORS = AVERAGED + TRAINED
WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights", "checkpoint", "module")
DECODER, ENCODER, LATENT_AVERAGE = "decoder.", "encoder.", "latent_avg"
NAME_WRAPPERS = ("module.", "_orig_mod.", "_forward_module.")
"""What DataParallel, torch.compile and Lightning put before every name."""
MAX_NESTING = 6
MAX_ITEMS = 64
VISIT_STEPS = 30
"""What looking through one container is counted as, besides its entries."""


@attrs.frozen
class Generator:
    """The part of a root object that is the generator: a module, or a state dict with the name of its place."""

    value: Record | dict[str, RawTensor]
    key: str = ""
    average: RawTensor | None = None


def read_root(root: object, resolve: Callable[[object], Storage], budget: Budget, module_format: str) -> Contents:
    """The generator's tensors of a root object, without encoders, discriminators and optimisers.

    `resolve` finds the storage of a tensor, `module_format` names the format where a whole module was saved.
    """
    found = find_generator(root, budget)
    if found is None:
        raise Damaged(_nothing_found(root))
    module = found.value if isinstance(found.value, Record) else None
    raw: dict[str, RawTensor] = {}
    for name, tensor in found.value.items() if isinstance(found.value, dict) else walk(found.value, budget):
        if name in raw or len(raw) >= MAX_TENSORS:
            raise Hostile(f"has two tensors named {shorten(name)}, or too many")
        raw[name] = tensor
    chosen, psp = unwrap_names(raw)
    if found.average is not None:
        chosen.setdefault(LATENT_AVERAGE, found.average)
    tensors = {name: make_ref(tensor, resolve) for name, tensor in chosen.items()}
    if module is not None:
        class_name = module.name.rpartition(".")[2]
        return Contents(module_format, tensors, class_name, init_kwargs_of(module), attributes_of(module))
    kind = "psp" if psp else "rosinality" if found.key in ("g_ema", "g") else "state-dict"
    return Contents(kind, tensors)


def find_generator(root: object, budget: Budget, depth: int = 0, key: str = "") -> Generator | None:
    """The generator in a root object; None if there is none.

    Containers may be shared, so that few bytes could unfold without end: depth and work are counted.
    """
    budget.spend(VISIT_STEPS)
    if depth > MAX_NESTING:
        return None
    if isinstance(root, Record):
        return _in_record(root, budget, depth, key)
    if isinstance(root, (list, tuple)):
        return _in_sequence(root, budget, depth, key)
    return _in_dict(root, budget, depth, key) if isinstance(root, dict) else None


def _in_record(record: Record, budget: Budget, depth: int, key: str) -> Generator | None:
    if record.name == TENSORFLOW_NETWORK:
        raise Damaged(
            "is a TensorFlow-era StyleGAN pickle; convert it once with"
            " `python legacy.py --source=OLD.pkl --dest=NEW.pkl` of NVIDIA's"
            " stylegan2-ada-pytorch repository and give the new file"
        )
    if not is_module(record):
        return None
    budget.spend(size_of(record))
    inner = only_child(record, "module")  # DataParallel and its like
    return Generator(record, key) if inner is None else find_generator(inner, budget, depth + 1, key)


def _in_sequence(items: list[Any] | tuple[Any, ...], budget: Budget, depth: int, key: str) -> Generator | None:
    """The last one that is no discriminator: NVIDIA's order is G, D, moving average of G."""
    for item in reversed(items[:MAX_ITEMS]):
        if isinstance(item, Record) and "discriminator" in item.name.lower():
            continue
        if found := find_generator(item, budget, depth + 1, key):
            return found
    return None


def _in_dict(table: dict[Any, Any], budget: Budget, depth: int, key: str) -> Generator | None:
    budget.spend(len(table))
    found = next(_below_known_keys(table, budget, depth), None)
    if found is None and (state := _state_dict(table)):
        return Generator(state, key)
    if found is None:
        others = [(name, value) for name, value in islice(table.items(), MAX_ITEMS)
                  if isinstance(name, str) and isinstance(value, (dict, Record))]
        parts = [part for name, value in others if (part := find_generator(value, budget, depth + 1, name))]
        found = parts[0] if len(parts) == 1 else None
    average = table.get(LATENT_AVERAGE)
    if found and found.average is None and isinstance(average, RawTensor):
        return attrs.evolve(found, average=average)
    return found


def _below_known_keys(table: dict[Any, Any], budget: Budget, depth: int) -> Iterator[Generator]:
    for key in (*GENERATORS, *WRAPPERS):
        if isinstance(value := table.get(key), (dict, Record, list, tuple)):
            found = find_generator(value, budget, depth + 1, key)
            if found is not None:
                yield found


def _state_dict(table: dict[Any, Any]) -> dict[str, RawTensor]:
    """The tensors of a state dict, numbers and texts beside them left out; empty if the table is none."""
    tensors: dict[str, RawTensor] = {}
    for name, value in table.items():
        if isinstance(name, str) and isinstance(value, RawTensor):
            tensors[name] = value
        elif not (value is None or isinstance(value, (bool, int, float, str))):
            return {}
    return tensors if tensors.keys() - {LATENT_AVERAGE} else {}


def _nothing_found(root: object) -> str:
    if not isinstance(root, dict):
        return (f"holds {_kind_of(root)}; expected a generator, its state dict, or a dict with one of them, "
                "for example as G_ema")
    keys = ", ".join(shorten(key) for key in list(root)[:8] if isinstance(key, str))
    return (f"holds neither a G_ema nor a G network, nor a state dict of one (it has: {keys or 'nothing'}); "
            "give a generator's file")


def _kind_of(root: object) -> str:
    """What a root object is, in words for its owner."""
    if isinstance(root, Record):
        return f"an object of the class {shorten(root.name)}, which is no network"
    if isinstance(root, (list, tuple)):
        return f"a {type(root).__name__} without a generator"
    if isinstance(root, RawTensor):
        return "a single tensor"
    return f"a {type(root).__name__}" if isinstance(root, (bool, int, float, str, set)) else "no network"


def unwrap_names(tensors: Mapping[str, Value]) -> tuple[dict[str, Value], bool]:
    """The generator's own names among a file's, without what stands before them; and whether a pSp held it.

    So `module.G_ema.x` becomes `x`, and a discriminator beside it is left out. The mean latent `latent_avg` stays.
    """
    chosen, psp = dict(tensors), False
    for _ in range(MAX_NESTING):
        prefix = _prefix(chosen)
        if prefix is None:
            break
        psp = psp or prefix == DECODER
        average = {name: value for name, value in chosen.items() if name == LATENT_AVERAGE}
        chosen = {name.removeprefix(prefix): value for name, value in chosen.items() if name.startswith(prefix)}
        chosen |= {name: value for name, value in average.items() if name not in chosen}
    return chosen, psp


def _prefix(names: Mapping[str, object]) -> str | None:
    """What stands before the generator's names; None if nothing does."""
    parts = {name.partition(".")[0] + "." for name in names if "." in name and name != LATENT_AVERAGE}
    for key in GENERATORS:
        if f"{key}." in parts:
            return f"{key}."
    if ENCODER in parts and DECODER in parts:  # EG3D has a decoder of its own, and no encoder
        return DECODER
    others = [name for name in names if name != LATENT_AVERAGE and "." not in name]
    if len(parts) == 1 and not others and (only := next(iter(parts))) in (*NAME_WRAPPERS, "model.", "network.", "net."):
        return only
    return DECODER if parts == {DECODER} and not others else None
