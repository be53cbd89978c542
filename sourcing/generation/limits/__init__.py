"""How fast a server is asked: rate limits, pauses, the window of calls in flight, the circuit breaker."""
