"""Each dialect by itself."""
