"""Running the steps: their files statement by statement, what is recorded of each, and what a failure leaves."""
