"""Packages: of distributions' archives, with their signatures checked, and as files."""
