"""Staging, dimensions and facts of a deployment through its whole life; `truth` holds the proofs against a model."""
