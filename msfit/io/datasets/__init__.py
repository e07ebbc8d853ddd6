"""Data that come with msfit or are fetched for the user.

In: the name of a data set. `fetch` knows addresses and checksums, `download` resumes and verifies, `archive` unpacks
without leaving its folder. Out: files on disk; `issa` reads the facial spectra that ship with the package.
"""
