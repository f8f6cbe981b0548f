"""Training of the encoder that ships; needed only to reproduce it (CARD.md in plugins/mobilestylegan says how)."""
