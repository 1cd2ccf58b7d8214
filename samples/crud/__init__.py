"""Services that create, read, update and delete fruits; they differ in what a lost race does."""
