"""Money and tokens: prices, estimates, and the budget that no call passes."""
