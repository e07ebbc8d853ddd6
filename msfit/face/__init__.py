"""The face by its mesh: 468 landmarks on the canonical topology, pose, named sites, region of skin, texture square.

In: a picture (y, x, 3), sRGB. Out: a `FaceMesh`, whose methods give masks of the picture, and a `FaceSurface`, the
person's own shape with its camera. `canonical` holds the mesh that all share and `subdivision` refines it, `models` and
`detector` run MediaPipe's models, `pose` turns landmarks into angles, `zones` names parts of a face, `mesh` puts them
together and `correction` moves it nearer to the truth; `surface` takes pose and camera off, `texture` carries values
between picture and canonical square, `coordinates` does so for results. Scenes use it through their rendered picture.
"""
