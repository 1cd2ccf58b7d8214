"""The interactions that go on as long as somebody watches."""
