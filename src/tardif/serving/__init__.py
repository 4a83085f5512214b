"""The search service: indexes that many clients search and change at once, without PyTorch in their process."""
