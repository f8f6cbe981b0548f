"""Files that are written whole or not at all, and what may stand in them. Imports no torch."""
