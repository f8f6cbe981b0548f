"""Make a pre-trained face generator forget a person, and prove it."""

__version__ = "0.1.0"
