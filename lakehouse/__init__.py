"""The engine of lakehouses: landing, bronze, silver, gold, each run on a branch that readers see whole or not at all."""
