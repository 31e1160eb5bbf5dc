"""Stub."""
class Idempotency:
    def __init__(self, app, desk): self.app = app
    async def __call__(self, scope, receive, send): await self.app(scope, receive, send)
