"""Load on a fruit service, with a ledger: was an acknowledged update lost, or applied twice?"""
