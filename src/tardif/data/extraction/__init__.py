"""A document file becomes its text: one module for each kind of file."""
