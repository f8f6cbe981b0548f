"""A device without float64 (Apple's MPS), emulated on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

MESSAGE = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
HOST = torch.device("cpu", 0)


class NoFloat64(TorchFunctionMode):
    """Raises where a tensor that would live on the device is float64.

    On the host are: what ``.cpu()`` and ``.to("cpu")`` return, what is made without a device, and what comes of host
    tensors alone. ``.to(torch.device(...))``, ``.to(tensor)`` and ``device=`` go to the device, named ``cpu`` here;
    parameters live there. A host tensor says that it is on ``cpu:0``, to tell the two apart.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, and note where its results live."""
        kwargs = kwargs or {}
        if func == Tensor.device.__get__ and self._on_host(args[0]):  # type: ignore[attr-defined]
            return HOST
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = [leaf for leaf in tree_leaves((args[1:], kwargs)) if isinstance(leaf, torch.device)]
        if func is Tensor.cpu or (func is Tensor.to and "cpu" in args[1:]):
            host = True
        elif devices:
            host = devices == [HOST]
        elif func is Tensor.to and len(given) == 2:
            host = self._on_host(given[1])
            given = given[1:]  # where nothing has to be converted, the result is the tensor itself
        else:
            host = all(self._on_host(tensor) for tensor in given)
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                if not host and made.dtype == torch.float64:
                    raise TypeError(MESSAGE)
                if not any(made is tensor for tensor in given) or func is Tensor.cpu:
                    made.on_host = host  # type: ignore[attr-defined]
        return result

    @staticmethod
    def _on_host(tensor: Tensor) -> bool:
        return getattr(tensor, "on_host", False)
