"""The sections of a report: each turns what was read into what the page shows."""
