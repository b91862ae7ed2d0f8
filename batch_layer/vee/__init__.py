"""Validation and estimation of the finest view: findings and estimates, brought up to date by what has changed."""
