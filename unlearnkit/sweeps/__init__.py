"""Many runs from one file: methods x people x seeds x generators x settings, wherever a launcher does them.

* :mod:`unlearnkit.sweeps.file`: what a sweep's file says, as records
* :mod:`unlearnkit.sweeps.jobs`: all its jobs, each known by the hash of its settings
* :mod:`unlearnkit.sweeps.job`: one job in a process of its own, begun, continued or recognised as finished
* :mod:`unlearnkit.sweeps.running`: all of them through a launcher, and what came of it
"""
