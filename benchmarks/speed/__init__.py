"""How fast unlearnkit is beside the procedure that GUIDE's authors published, in one process, turn by turn.

    python -m benchmarks.speed renderer upsample --repeats 5
    pytest benchmarks/test_speed.py --speed full --speed-json speed.json

`plain_ops` and `authors` are that procedure, written from descriptions of it, with our own modules; `works` are the
things that are timed; both sides must give the same numbers, or a bench fails.
"""
