"""Edits: what a run changed, tied to the base by its hash; edits on edits. Imports no torch."""
