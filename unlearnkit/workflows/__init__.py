"""What a user asks for, from settings to files: run, audit, sample, invert. Imports no torch."""
