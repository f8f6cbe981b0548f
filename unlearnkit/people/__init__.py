"""People: what they are called, how pictures and latents become them, and how a run keeps them. Imports no torch."""
