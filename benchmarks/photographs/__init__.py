"""What photographs tell: every method on faces that nothing was made for, and on exams with truth.

In: folders of photographs, scenes with truth. `folder` reads pictures and labels, `methods` takes them apart, `rows`
and `exams` score, `panels` draws. Out: figures, and pictures to look at outside the project.
"""
