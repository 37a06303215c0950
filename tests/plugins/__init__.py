"""Tests of the worked examples under plugins/."""
