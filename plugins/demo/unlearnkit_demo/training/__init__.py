"""Training of the bundled weights; needed only to reproduce them (``pip install 'unlearnkit[train]'``).

    python -m unlearnkit_demo.people.dataset   # pictures of people who do not exist
    python -m unlearnkit_demo.training.generator
    python -m unlearnkit_demo.training.encoders
    python -m unlearnkit_demo.training.inverter
"""
