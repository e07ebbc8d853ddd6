"""Photographs taken apart in a browser: a page that takes one, and the server that answers it.

In: a photograph that is dropped on the page. Out: the page of its maps (`msfit.view`). Nothing is kept.
"""
