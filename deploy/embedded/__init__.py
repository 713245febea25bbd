"""A real Apache Kafka and a real Postgres, run as child processes in a state folder."""
