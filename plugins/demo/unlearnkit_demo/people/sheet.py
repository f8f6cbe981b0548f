"""Contact sheets: ``python -m unlearnkit_demo.people.sheet OUT.png --rows 8 --columns 14 [--nuisance]``."""

from __future__ import annotations

import argparse

import numpy as np

from .parameters import NUM_PARAMETERS, parameters_from_z, redraw_nuisance


def main() -> None:
    """Draw random people, or with ``--nuisance`` one person per row."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--columns", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--nuisance", action="store_true")
    arguments = parser.parse_args()
    from PIL import Image

    from .render import PeopleRenderer

    rng = np.random.default_rng(arguments.seed)
    rows, columns = arguments.rows, arguments.columns
    p = parameters_from_z(rng.standard_normal((rows * columns, NUM_PARAMETERS)))
    if arguments.nuisance:
        p = redraw_nuisance(np.repeat(p[:rows], columns, axis=0), rng)
    images = PeopleRenderer(arguments.size).render(p)
    Image.fromarray(
        np.concatenate(
            [np.concatenate(list(row), 1) for row in images.reshape(rows, columns, *images.shape[1:])], 0
        )
    ).save(arguments.out)


if __name__ == "__main__":
    main()
