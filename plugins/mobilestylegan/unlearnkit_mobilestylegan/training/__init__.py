"""Training of the encoder that ships; needed only to reproduce it (ENCODER.md beside this package says how)."""
