"""What samples are made into: collation, masking, targets, transforms."""
