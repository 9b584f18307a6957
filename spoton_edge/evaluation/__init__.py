"""How good is it? Tracks against truth: per camera, across cameras and on the ground; and Re-ID models on own crops.

The figures are trackeval's, so that they can be held against anybody's. Needs the extra `evaluate`.
"""
