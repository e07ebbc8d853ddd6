"""Learned front views: a network from the crop of a turned face to that of the same face from the front.

`crop` says what a crop shows, `pairs` loads folders of pairs and renders endless ones, `network` is the U-Net and its
critic, `training` the descent, `weights` what lies on disk, `picture` puts a crop back into the photograph.
"""
