"""Work over a Ray cluster: texts encoded, shards built and searched by actors. Ray is imported by what connects."""
