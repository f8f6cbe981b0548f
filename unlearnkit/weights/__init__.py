"""Weight files of published networks: what they are, where they are looked for, how they are got. Imports no torch.

Plugins register them with the hook ``unlearnkit_register_weights``; ``unlearnkit.plugins.registry().weights()`` lists
them.
"""

from __future__ import annotations

from unlearnkit.weights.places import check_file, find_file, place, present
from unlearnkit.weights.record import WeightFile

__all__ = ["WeightFile", "check_file", "find_file", "place", "present"]
