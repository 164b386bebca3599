"""The motion of a camera from its pictures alone: points are followed, keyframes reconstructed."""
