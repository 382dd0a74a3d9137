"""The start of a training: the pretrained model, its tokenizer and its processor, identified by their content.

    ref = locate_tokenizer("HuggingFaceTB/SmolLM2-135M", …)   # the name is resolved to a commit, then to digests
    ref.content_digest                                        # "41f0…": what cache keys contain, never the name
    plain_tokenizer(ref).encode("2 + 2")                      # by the `tokenizers` library, without transformers

What always holds: a name on the Hugging Face Hub is resolved to one commit before anything depends on it, and two
copies of the same files have the same identity wherever they are stored. Importing this room imports neither torch nor
transformers.
"""
