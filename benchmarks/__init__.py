"""Measurements. Each command writes a JSON file with the machine, the versions and the settings beside the numbers."""
