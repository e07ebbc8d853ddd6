"""The mathematics of the fit on tensors (n, band): no files, no pictures, no progress bars."""
