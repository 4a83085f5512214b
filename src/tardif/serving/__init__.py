"""The search service: indexes that many clients search and change at once, without PyTorch in their process."""

from tardif.extras import need

need("serve", "tardif.serving")  # before any module of the package imports what the extra brings
