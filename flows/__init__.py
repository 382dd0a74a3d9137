"""The order of the stages. A flow reads like its paragraph in the README."""
