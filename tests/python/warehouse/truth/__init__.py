"""Proofs that the warehouse tells the truth: an independent model, random worlds, readers, crashes."""
