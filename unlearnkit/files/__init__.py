"""Atomic file writes, guarded reads, scratch folders, and the plain values that files hold. Imports no torch."""
