"""The charts of a report: SVG drawn by matplotlib, each with a text alternative and the table behind it."""
