"""Servers and networks that fail: what a step does, and what stands afterwards."""
