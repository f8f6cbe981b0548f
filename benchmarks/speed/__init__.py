"""How fast unlearnkit is beside the procedure that GUIDE's authors published, in one process, turn by turn.

    python -m benchmarks.speed renderer upsample --repeats 5
    pytest benchmarks/test_speed.py --speed full --speed-json speed.json

`plain_ops` and `authors` are that procedure, written from descriptions of it, with our own modules; `works` are the
things that are timed; both sides must give the same numbers, or a bench fails.

Its modules import each other as ``speed``, from the folder above: a checkout on the path would shadow the unlearnkit
that is installed and has the kernels.
"""

import sys
from pathlib import Path

if (_folder := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, _folder)

from installed import use_installed

use_installed()
