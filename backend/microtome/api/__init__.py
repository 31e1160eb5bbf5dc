"""The web process: routes, problem documents, events, security and the built frontend. Never imports torch."""
