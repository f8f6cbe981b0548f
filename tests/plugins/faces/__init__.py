"""Tests of the plugin `faces`, on random weights: no test needs a download."""
