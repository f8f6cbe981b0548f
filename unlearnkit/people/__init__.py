"""People: built from pictures, latents and seeds, and stored with a run. Imports no torch."""
