"""What JVM programs run on, servers and the Spark driver alike: a Java, and jars resolved by Maven into the cache."""
