"""From parts to the AppImage: one bundle from start to end."""
