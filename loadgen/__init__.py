"""Load on the fruit services that keeps books: was an acknowledged update lost, or applied twice?"""
