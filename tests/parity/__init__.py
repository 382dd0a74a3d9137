"""Our preparation beside a live TRL 1.16: same rows, tokenizer and settings in, what the loss would see compared out.

    our_side.py         recipe → {row number: (input_ids, labels)}, through the rooms that the tasks call
    trl_side.py         rows   → {row number: (input_ids, labels)}, as `SFTTrainer(...).train_dataset` holds them
    tiny_tokenizer.py   three words, for what the real tokenizer does not do

Where the two differ, a test says who is right and shows it on a few tokens (`test_trl_mistakes.py`).
"""
