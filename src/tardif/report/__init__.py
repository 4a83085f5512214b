"""``report.html``: one self-contained file on trainings, evaluations and prepared sets, as people would rather look at.

:func:`report` reads folders (``sources``), makes ``sections`` of them with ``charts``, and writes a ``page``.
"""

from tardif.report.write import report

__all__ = ["report"]
