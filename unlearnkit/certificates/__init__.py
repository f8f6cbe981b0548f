"""Certificates of erasure: what a run did and found, signed, without a trace of the person. Imports no torch.

An in-toto Statement (v1) about the edit, or the checkpoint made with it, in a DSSE envelope.
"""
