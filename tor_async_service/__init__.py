"""The chassis of a microservice: everything that each service needs and none should write."""
