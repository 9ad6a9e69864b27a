"""The kernels inside Spark, on a cluster of two executor processes."""
