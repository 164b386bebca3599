"""A human drives the recorded road in the browser: `vista-sim drive`."""
