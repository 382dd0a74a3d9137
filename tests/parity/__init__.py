"""Our preparation beside a live TRL 1.16: same rows, tokenizer and settings in, what the loss would see compared out.

    our_side.py         recipe → rows and blocks, through the rooms that the tasks call
    trl_side.py         rows   → the same, as `SFTTrainer(...).train_dataset` and `pack_dataset` hold them
    corpora.py          the public files in TRL's four formats
    families.py         chat templates, and the real tokenizer as the models that use them have theirs
    tiny_tokenizer.py   three words, for what the real tokenizer does not do

    test_matrix.py                      format, file, family, loss, strategy: 624 cells in which nothing differs
    test_labels.py, test_packing.py     a whole file by the defaults; all rows in one batch
    test_templates.py, test_engines.py  TRL's own templates; both encoders
    test_trl_mistakes.py, test_packing.py, test_bad_rows.py, test_masks_that_do_not_apply.py    where the two differ

Where they differ, a test says who is right and shows it on a few tokens.
"""
