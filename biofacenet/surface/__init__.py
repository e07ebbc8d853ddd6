"""The whole face: its textures from one or several photographs, hidden parts completed, its view from the front.

In: photographs. Out: a `FaceTexture` (maps in the canonical square and how each texel is known), or a picture.
`record` takes one photograph over to its surface, `light` finds where its light comes from, `completion` fills what is
hidden, `unwrap` puts textures together, `frontal` draws pictures from them, `files` writes them.
"""
