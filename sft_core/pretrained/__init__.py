"""The pretrained model, its tokenizer and its image processor, identified by their content.

    ref = locate_tokenizer("HuggingFaceTB/SmolLM2-135M", …)   # the name is resolved to a commit, then to digests
    ref.content_digest                                        # "41f0…": what cache keys contain, never the name
    plain_tokenizer(ref).encode("2 + 2")                      # uses the `tokenizers` library, without transformers

A name on the Hugging Face Hub is always resolved to one commit before anything depends on it, and two copies of the
same files have the same identity wherever they are stored. Importing this package imports neither torch nor
transformers.
"""
