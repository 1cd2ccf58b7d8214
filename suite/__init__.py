"""What run_all_samples.sh and test_all_samples.sh do once Python and its packages are there."""
