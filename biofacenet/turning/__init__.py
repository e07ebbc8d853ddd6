"""Learned front views: a network from the crop of a turned face to that of the same face from the front.

In: pairs of pictures, a user's or rendered; a photograph with its surface. Out: weights; a picture with the face drawn.
`crop` says what a crop shows, `pairs` loads folders of pairs and renders endless ones, `network` is the U-Net and its
critic, `config` and `training` the descent, `picture` puts a crop back into the photograph.
"""
