"""Services that create, read, update and delete fruits. They differ in what happens after a lost race."""
