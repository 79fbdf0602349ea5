"""What samples are made into: collation, masking, targets and transforms."""
