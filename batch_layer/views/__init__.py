"""From the master data set to the batch views: plan, compute, write, audit."""
