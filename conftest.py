"""Loads hairpin's pytest plugin for every test below."""

pytest_plugins = ["harness.plugin"]
