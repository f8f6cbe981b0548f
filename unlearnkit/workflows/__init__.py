"""The commands, from settings to files: run, audit, sample, invert. Imports no torch."""
