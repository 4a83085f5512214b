"""How good a ranking is: measures, runs, verdicts, and systems side by side."""
