"""Atomic file writes, and the plain values that files hold. Imports no torch."""
