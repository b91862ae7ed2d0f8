"""The engine of lakehouses: landing, bronze, silver, gold; each run on a branch that is seen whole or not at all."""
