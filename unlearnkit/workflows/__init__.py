"""The commands, from settings to files: run, audit, sample, invert. Imports no torch.

Whoever comes to compute comes through here first, so this is where it is decided how torch's threads wait.
"""

from unlearnkit.waiting import choose_waiting

choose_waiting()
