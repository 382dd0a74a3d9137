"""The way from a trained model to a served one: promotion, model card, serving, and verification of stored models.

    decide(gate, challenger, champion)   # → Verdict(is_champion=False, reason="eval_loss 0.31 against 0.29 of …")
    ChatModel(folder).answer([{"role": "user", "content": "2 + 2"}])   # what MLflow runs for a registered model

What always holds: a served model gets prompts in exactly the format that it was trained on (`chat_prompts`), answers
with the code that is stored with it, and is registered only after a separate process has loaded it and reproduced the
logits of training (`verification`). `serving` imports as little as possible, because every module that it imports is
stored with each model.
"""
