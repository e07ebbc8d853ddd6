"""Photographs made worse are restored, and the skin in them is not changed.

In: a photograph, blurred, noisy, small, compressed or partly covered. `network` estimates the degradation and the
picture, `consistency` and `skin` hold it to what the photograph supports, `pipeline` puts it together. `degradation`,
`faces`, `losses` and `training` make the weights. Out: a `Restored`: picture, what was invented, report.
"""
