"""The LiveKit client protocol: one WebSocket for signalling, two peer connections for media."""
