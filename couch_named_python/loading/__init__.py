"""From a function's name in a design document to the function, and the version that it has."""
